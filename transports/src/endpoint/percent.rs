//! Percent-encoding (RFC 3986, section 2.1), strict: a `%` without two hexadecimal digits is an error.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The bytes that `text` stands for.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = after;
            continue;
        }
        let digits = after.split_at_checked(2).and_then(|(two, after)| Some((hex(two)?, after)));
        let Some((value, after)) = digits else {
            return Err(
                "a `%` must be followed by two hexadecimal digits: write %25 for a `%`".to_owned()
            );
        };
        decoded.push(value);
        rest = after;
    }
    Ok(decoded)
}

/// `path` as it is written in an endpoint.
pub(crate) fn encode_path(path: &Path) -> String {
    let mut encoded = String::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b' ' | ..0x20 | 0x7f.. => {
                write!(encoded, "%{byte:02X}").expect("a String takes everything");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(digits[0])? << 4 | digit(digits[1])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_a_path() {
        let bytes: Vec<u8> = (1..=255).collect();
        let path = Path::new(std::ffi::OsStr::from_bytes(&bytes));
        assert_eq!(decode(&encode_path(path)).unwrap(), bytes);
    }

    #[test]
    fn a_lone_percent_is_refused() {
        for wrong in ["100%", "%2", "%g0", "%+1", "%é"] {
            assert!(decode(wrong).unwrap_err().contains("%25"), "{wrong}");
        }
    }
}
