//! Integers as postcard writes them: seven bits a byte, the least significant first, the eighth bit for "more
//! follows". A signed integer is folded into an unsigned one before: 0, -1, 1, -2 become 0, 1, 2, 3.
//!
//! postcard's own does the same byte by byte through its flavors. Here eight bytes are made at a time, which
//! saves a tenth of a call's instructions.

/// Bytes of the longest there is.
pub(super) const LONGEST: usize = longest::<u64>();

/// Bytes of the longest that a `T`, which has at most 64 bits, can take.
pub(super) const fn longest<T>() -> usize {
    (8 * size_of::<T>()).div_ceil(7)
}

/// The low seven bits of each byte, and the eighth.
const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const EIGHTH: u64 = !SEVEN;

/// Bits that the first eight bytes have.
const FIRST_BITS: u32 = 56;

/// The bytes, and how many of them there are.
#[inline]
pub(super) fn encode(value: u64) -> ([u8; LONGEST], usize) {
    let mut bytes = [0; LONGEST];
    if value < 0x80 {
        bytes[0] = value as u8;
        return (bytes, 1);
    }
    let bits = u64::BITS - value.leading_zeros();
    // Divided by seven and rounded up, which holds for 1 to 64.
    let count = (bits as usize * 9 + 64) >> 6;
    let more = if count > 8 { EIGHTH } else { EIGHTH & ((1 << (8 * (count - 1))) - 1) };
    let first = spread(value) | more;
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    let last = value >> FIRST_BITS;
    bytes[8] = last as u8 & 0x7f | if count == LONGEST { 0x80 } else { 0 };
    bytes[9] = (last >> 7) as u8;
    (bytes, count)
}

/// The low 56 bits, seven to a byte: halved three times.
#[inline]
fn spread(value: u64) -> u64 {
    let fours = value & 0x0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let twos = fours & 0x0000_3fff_0000_3fff | (fours & 0x0fff_c000_0fff_c000) << 2;
    twos & 0x007f_007f_007f_007f | (twos & 0x3f80_3f80_3f80_3f80) << 1
}

/// What [`spread`] has spread.
#[inline]
fn gather(bytes: u64) -> u64 {
    let twos = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = twos & 0x0000_3fff_0000_3fff | (twos & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

/// An integer at the beginning of `bytes`, and how many of them it takes; `None` where it does not end within
/// `longest` of them or has too many bits.
#[inline]
pub(super) fn decode(bytes: &[u8], longest: usize) -> Option<(u64, usize)> {
    if let Some(&byte) = bytes.first()
        && byte < 0x80
    {
        return Some((byte.into(), 1));
    }
    let first = match bytes.first_chunk::<8>() {
        Some(first) => u64::from_le_bytes(*first),
        None => {
            // What is not there goes on, so that nothing can end there.
            let mut first = [0xff; 8];
            first[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(first)
        }
    };
    let ends = !first & EIGHTH;
    if ends != 0 {
        let count = ends.trailing_zeros() as usize / 8 + 1;
        let own = first & (u64::MAX >> (64 - 8 * count));
        return (count <= longest).then(|| (gather(own & SEVEN), count));
    }
    let (count, last) = match *bytes.get(8..)? {
        [ninth @ ..0x80, ..] => (9, u64::from(ninth)),
        [ninth, tenth @ ..=1, ..] => (10, u64::from(ninth & 0x7f) | u64::from(tenth) << 7),
        _ => return None,
    };
    (count <= longest).then(|| (gather(first & SEVEN) | last << FIRST_BITS, count))
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
