//! How large a ring is, as an endpoint says it.

use crate::units;

/// Bytes of the smallest ring.
pub(crate) const SMALLEST: usize = 4 << 10;

/// Bytes of a ring unless the endpoint says otherwise.
const USUAL: usize = 256 << 10;

/// Reads `ring=`: bytes. `largest` is in bytes, and as one would write it.
///
/// # Errors
/// Says what would be right.
pub(crate) fn parse_size(text: Option<&str>, largest: (usize, &str)) -> Result<usize, String> {
    let Some(text) = text else { return Ok(USUAL) };
    let (largest, shown) = largest;
    let wanted = format!("write a power of two from 4KiB to {shown}, for example ring=1MiB");
    let bytes = units::size(text).map_err(|error| format!("ring={text}: {error}: {wanted}"))?;
    if !bytes.is_power_of_two() || !(SMALLEST..=largest).contains(&bytes) {
        return Err(format!("ring={text} is {bytes} bytes: {wanted}"));
    }
    Ok(bytes)
}
