//! The durations of `#[ipc(deadline = "..")]`: a decimal number and a unit, such as `5s` or `1.5ms`.
//!
//! Arithmetic is exact: a duration that is not a whole number of nanoseconds is an error, not rounded.

/// Units in nanoseconds; the longer of two that end alike stands first.
const UNITS: [(&str, u128); 5] =
    [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)];

/// Reads `text` as a number of nanoseconds greater than zero.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let malformed = || {
        format!(
            "`{text}` is not a duration: write a number and one of the units `ns`, `us`, `ms`, \
             `s`, `m`, such as \"5s\" or \"1.5ms\""
        )
    };
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, nanos)| text.strip_suffix(suffix).map(|number| (number, *nanos)))
        .ok_or_else(malformed)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(malformed()),
        None => (number, ""),
    };
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    nanoseconds(&digits, fraction.len(), unit, text)
}

/// `digits` x 10^-`decimals` x `unit`, exactly.
fn nanoseconds(digits: &str, decimals: usize, unit: u128, text: &str) -> Result<u64, String> {
    let too_long = || format!("`{text}` is too long: a deadline is at most {} ns", u64::MAX);
    let scaled = digits.parse::<u128>().ok().and_then(|number| number.checked_mul(unit));
    let scale = u32::try_from(decimals).ok().and_then(|decimals| 10_u128.checked_pow(decimals));
    let (Some(scaled), Some(scale)) = (scaled, scale) else {
        return Err(too_long());
    };
    if scaled % scale != 0 {
        return Err(format!("`{text}` is not a whole number of nanoseconds: leave digits out"));
    }
    match u64::try_from(scaled / scale) {
        Ok(0) => {
            Err("a deadline of zero would fail every call: leave `deadline` out for none"
                .to_owned())
        }
        Ok(nanos) => Ok(nanos),
        Err(_) => Err(too_long()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn refusal(text: &str) -> String {
        parse(text).expect_err(text)
    }

    #[test]
    fn each_unit_is_read_in_nanoseconds() {
        assert_eq!(parse("500ns"), Ok(500));
        assert_eq!(parse("20us"), Ok(20_000));
        assert_eq!(parse("100ms"), Ok(100_000_000));
        assert_eq!(parse("5s"), Ok(5_000_000_000));
        assert_eq!(parse("2m"), Ok(120_000_000_000));
    }

    #[test]
    fn fractions_are_exact() {
        assert_eq!(parse("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse("0.000000001s"), Ok(1));
        assert_eq!(parse("0.1m"), Ok(6_000_000_000));
        assert!(refusal("1.5ns").contains("whole number of nanoseconds"));
    }

    #[test]
    fn zero_and_overflow_are_refused() {
        assert!(refusal("0s").contains("zero"));
        assert!(refusal("0.0ms").contains("zero"));
        assert_eq!(parse("18446744073709551615ns"), Ok(u64::MAX));
        assert!(refusal("18446744073709551616ns").contains("too long"));
        assert!(refusal(&format!("{}s", "9".repeat(60))).contains("too long"));
        assert!(refusal(&format!("0.{}s", "0".repeat(60))).contains("too long"));
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in
            ["", "5", "s", "5 s", " 5s", "-5s", "+5s", "1e3s", "5h", ".5s", "5.s", "1.2.3s", "5S"]
        {
            assert!(refusal(text).contains("is not a duration"), "{text:?}");
        }
    }
}
