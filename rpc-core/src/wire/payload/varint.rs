//! Integers as postcard writes them: seven bits a byte, the least significant first, the eighth bit for "more
//! follows". A signed integer is folded into an unsigned one before: 0, -1, 1, -2 become 0, 1, 2, 3.
//!
//! postcard's own does the same byte by byte through its flavors, which took a tenth of a call's
//! instructions.

/// Bytes of the longest there is.
pub(super) const LONGEST: usize = longest::<u64>();

/// Bytes of the longest that a `T`, which has at most 64 bits, can take.
pub(super) const fn longest<T>() -> usize {
    (8 * size_of::<T>()).div_ceil(7)
}

/// The bytes, and how many of them there are.
#[inline]
pub(super) fn encode(mut value: u64) -> ([u8; LONGEST], usize) {
    let mut bytes = [0; LONGEST];
    let mut last = 0;
    // Never longer: ten times seven bits are more than there are.
    while value >= 0x80 && last < LONGEST - 1 {
        bytes[last] = value as u8 | 0x80;
        value >>= 7;
        last += 1;
    }
    bytes[last] = value as u8;
    (bytes, last + 1)
}

/// An integer at the beginning of `bytes`, and how many of them it takes; `None` where it does not end within
/// `longest` of them or has too many bits.
#[inline]
pub(super) fn decode(bytes: &[u8], longest: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(longest.min(LONGEST)).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let fits = index < LONGEST - 1 || byte <= 1;
            return fits.then_some((value, index + 1));
        }
    }
    None
}

/// A signed integer as an unsigned one.
#[inline]
pub(super) fn fold(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// The signed integer of which this one was made.
#[inline]
pub(super) fn unfold(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Integers of every length are equally likely.
    fn integers() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
    }

    proptest! {
        #[test]
        fn it_is_postcard_s(value in integers()) {
            let (bytes, count) = encode(value);
            prop_assert_eq!(postcard::to_allocvec(&value).expect("an integer"), &bytes[..count]);
            prop_assert_eq!(decode(&bytes[..count], LONGEST), Some((value, count)));
        }

        #[test]
        fn signed_ones_are_postcard_s(value in integers()) {
            let value = value.cast_signed();
            let (bytes, count) = encode(fold(value));
            prop_assert_eq!(postcard::to_allocvec(&value).expect("an integer"), &bytes[..count]);
            prop_assert_eq!(unfold(fold(value)), value);
        }

        #[test]
        fn whatever_bytes_mean_to_postcard_they_mean_here(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..=0xff_u8], 0..12)
        ) {
            assert_means_the_same::<u16>(&bytes);
            assert_means_the_same::<u32>(&bytes);
            assert_means_the_same::<u64>(&bytes);
        }
    }

    fn assert_means_the_same<T>(bytes: &[u8])
    where
        T: serde::de::DeserializeOwned + TryFrom<u64> + PartialEq + std::fmt::Debug,
    {
        let theirs = postcard::take_from_bytes::<T>(bytes).ok();
        let theirs = theirs.map(|(value, rest)| (value, bytes.len() - rest.len()));
        let ours = decode(bytes, longest::<T>());
        let ours = ours.and_then(|(value, count)| Some((T::try_from(value).ok()?, count)));
        assert_eq!(ours, theirs);
    }
}
