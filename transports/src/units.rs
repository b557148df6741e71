//! Durations and sizes as they are written: a number, with a fraction if need be, and a unit.

use std::time::Duration;

use crate::suggest;

/// Units in nanoseconds.
const TIMES: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Units in bytes.
const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// `5s`, `100ms`, `1.5s`: nanoseconds in the end, so that nothing is rounded but what is smaller.
///
/// # Errors
/// What would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return Err("a unit is missing: write for example \"5s\", \"100ms\" or \"20us\"".to_owned());
    }
    let scale = find(unit, &TIMES, "ns, us, ms, s, m and h")?;
    number.times(scale).map(Duration::from_nanos)
}

/// `64MiB`, `1GB`, `4096`: a whole number of bytes.
///
/// # Errors
/// What would be right.
pub fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text)?;
    let scale =
        if unit.is_empty() { 1 } else { find(unit, &SIZES, "B, KB, MB, GB, KiB, MiB and GiB")? };
    let bytes = number.times(scale)?;
    usize::try_from(bytes).map_err(|_| too_large())
}

/// A decimal number: `units / 10^decimals`.
struct Number {
    units: u64,
    decimals: u32,
}

impl Number {
    /// The product, which has to be whole.
    fn times(&self, scale: u64) -> Result<u64, String> {
        let product = u128::from(self.units) * u128::from(scale);
        let divisor = 10_u128.pow(self.decimals);
        if product % divisor != 0 {
            return Err("that is finer than the smallest unit: write a rounder number".to_owned());
        }
        u64::try_from(product / divisor).map_err(|_| too_large())
    }
}

fn too_large() -> String {
    "that is more than this machine can count: write a smaller number".to_owned()
}

/// The number and the unit, with or without a blank between them.
fn split(text: &str) -> Result<(Number, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err("that does not begin with a number, such as 5 or 1.5".to_owned());
    }
    let fraction = fraction.trim_end_matches('0');
    // 18 digits: 10^18 fits, and no unit here has more decimals than that.
    let units = format!("{whole}{fraction}").parse().map_err(|_| too_large())?;
    let decimals = u32::try_from(fraction.len()).ok().filter(|decimals| *decimals <= 18);
    let decimals = decimals.ok_or_else(too_large)?;
    Ok((Number { units, decimals }, unit.trim_start()))
}

fn find(unit: &str, units: &[(&str, u64)], known: &str) -> Result<u64, String> {
    match units.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) => Ok(*scale),
        None => {
            let hint = suggest::hint(unit, units.iter().map(|(name, _)| *name));
            Err(format!("unknown unit `{unit}`{hint} (known: {known})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        for (text, nanoseconds) in [
            ("5s", 5_000_000_000),
            ("100ms", 100_000_000),
            ("20us", 20_000),
            ("20µs", 20_000),
            ("1.5s", 1_500_000_000),
            ("0.000000001s", 1),
            ("2 m", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn sizes_are_exact() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("256KiB", 256 << 10),
            ("1GB", 1_000_000_000),
            ("4096", 4096),
            ("1.5KiB", 1536),
            ("10 B", 10),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_what_would_be() {
        for (text, hint) in [
            ("5", "a unit is missing"),
            ("", "begin with a number"),
            ("s", "begin with a number"),
            ("-5s", "begin with a number"),
            (".5s", "begin with a number"),
            ("1.2.3s", "begin with a number"),
            ("5 parsecs", "unknown unit `parsecs`"),
            ("5sec", "unknown unit `sec`"),
            ("5S", "did you mean `s`"),
            ("0.5ns", "finer than"),
            ("99999999999999999999s", "more than this machine"),
            ("600000h", "ok"),
            ("6000000h", "more than this machine"),
        ] {
            match duration(text) {
                Ok(_) => assert_eq!(hint, "ok", "{text}"),
                Err(error) => assert!(error.contains(hint), "{text}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_no_size_says_what_would_be() {
        for (text, hint) in [
            ("64mib", "did you mean `MiB`"),
            ("64M", "did you mean"),
            ("0.3B", "finer than"),
            ("99999999999GiB", "more than this machine"),
        ] {
            let error = size(text).expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
