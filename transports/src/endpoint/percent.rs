//! Percent-encoding (RFC 3986, section 2.1), strict: a `%` without two hexadecimal digits is an error.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// What has a meaning of its own in an endpoint, or cannot be seen in it.
const SPECIAL: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b' ');

/// The same in the value of a key.
const SPECIAL_IN_VALUE: AsciiSet = SPECIAL.add(b'&');

/// The bytes that `text` stands for.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let is_digits = |after: &str| {
        after.as_bytes().first_chunk::<2>().is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_digits) {
        return Err(
            "a `%` must be followed by two hexadecimal digits: write %25 for a `%`".to_owned()
        );
    }
    Ok(percent_decode_str(text).collect())
}

/// `path` as it is written in an endpoint.
pub(crate) fn encode_path(path: &Path) -> String {
    percent_encode(path.as_os_str().as_bytes(), &SPECIAL).to_string()
}

/// `value` as it is written behind a key.
pub(crate) fn encode_value(value: &OsStr) -> String {
    percent_encode(value.as_bytes(), &SPECIAL_IN_VALUE).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_a_path() {
        let bytes: Vec<u8> = (1..=255).collect();
        let path = Path::new(OsStr::from_bytes(&bytes));
        assert_eq!(decode(&encode_path(path)).unwrap(), bytes);
    }

    #[test]
    fn a_lone_percent_is_refused() {
        for wrong in ["100%", "%2", "%g0", "%+1", "%é"] {
            assert!(decode(wrong).unwrap_err().contains("%25"), "{wrong}");
        }
    }
}
