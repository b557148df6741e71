//! Bytes that ask for too much, end too early or make no sense.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Deserializer};

use super::tests::{
    Level, Nested, Record, decoded, encoded, invalid_text, record, refused, round_trip,
};
use super::{DecodeError, DecodeLimits, decode, encode};

/// The length of a sequence, and nothing of the sequence.
fn announce(length: u64) -> Vec<u8> {
    encoded(&length)
}

#[test]
fn a_payload_cut_anywhere_is_refused() {
    let bytes = encoded(&record());
    for cut in 0..bytes.len() {
        assert_eq!(refused::<Record>(&bytes[..cut]), DecodeError::Truncated, "cut at {cut}");
    }
}

#[test]
fn trailing_bytes_are_refused_and_counted() {
    let mut bytes = encoded(&record());
    bytes.extend_from_slice(&[0; 3]);
    let error = refused::<Record>(&bytes);
    assert_eq!(error, DecodeError::TrailingBytes { count: 3 });
    assert_eq!(error.to_string(), "3 bytes are left over after the value");
}

#[test]
fn a_million_levels_are_refused_and_not_recursed_into() {
    let error = refused::<Nested>(&vec![1; 1_000_000]);
    assert_eq!(error, DecodeError::TooDeep { limit: 64 });
    assert_eq!(error.to_string(), "the value nests deeper than the limit of 64 levels");
}

#[test]
fn a_type_that_nests_for_ever_without_bytes_is_refused() {
    #[derive(Debug, Deserialize)]
    struct Forever(#[expect(dead_code, reason = "only decoded")] Box<Self>);
    assert_eq!(refused::<Forever>(&[]), DecodeError::TooDeep { limit: 64 });
}

#[test]
fn the_depth_limit_is_exact() {
    // Each link is a newtype and an option; the last is a newtype alone.
    let mut chain = Nested(None);
    for _ in 0..3 {
        chain = Nested(Some(Box::new(chain)));
    }
    let bytes = encoded(&chain);
    let at = |depth| decode::<Nested>(&bytes, &DecodeLimits { depth, ..DecodeLimits::default() });
    assert_eq!(at(7), Ok(chain));
    assert_eq!(at(6), Err(DecodeError::TooDeep { limit: 6 }));
}

#[test]
fn siblings_do_not_add_up_to_depth() {
    round_trip(vec![Some((Level::Mid(1), Some(2u8))); 1000]);
}

#[test]
fn a_set_of_a_billion_units_is_refused_at_once() {
    let bytes = announce(1_000_000_000);
    let error = refused::<BTreeSet<()>>(&bytes);
    let limit = bytes.len() + 65_536;
    assert_eq!(error, DecodeError::TooManyElements { limit, actual: 1_000_000_000 });
    let text = format!("the value announces 1000000000 elements, over the limit of {limit}");
    assert!(error.to_string().starts_with(&text), "{error}");
    assert!(matches!(refused::<Vec<()>>(&bytes), DecodeError::TooManyElements { .. }));
    assert!(matches!(refused::<HashMap<(), ()>>(&bytes), DecodeError::TooManyElements { .. }));
}

#[test]
fn lengths_up_to_the_largest_are_refused() {
    for length in [u64::from(u32::MAX), u64::MAX] {
        let bytes = announce(length);
        assert!(matches!(refused::<Vec<u64>>(&bytes), DecodeError::TooManyElements { .. }));
        assert_eq!(refused::<String>(&bytes), DecodeError::Truncated);
        assert_eq!(refused::<serde_bytes::ByteBuf>(&bytes), DecodeError::Truncated);
    }
}

#[test]
fn elements_of_all_sequences_are_counted_together() {
    let units = vec![(); 65_536];
    round_trip(units.clone());
    let bytes = encoded(&(&units, &units));
    let limit = 65_536 + bytes.len();
    let error = refused::<(Vec<()>, Vec<()>)>(&bytes);
    assert_eq!(error, DecodeError::TooManyElements { limit, actual: 2 * 65_536 });
}

#[test]
fn a_mebibyte_that_asks_for_gigabytes_is_refused() {
    #[derive(Debug, Deserialize)]
    struct Wide(#[expect(dead_code, reason = "only decoded")] Option<[[u64; 32]; 6]>);
    let mut bytes = announce(1 << 20);
    bytes.resize(bytes.len() + (1 << 20), 0);
    let limit = 256 << 20;
    match refused::<Vec<Wide>>(&bytes) {
        DecodeError::TooMuchMemory { limit: named, needed } => {
            assert_eq!(named, limit);
            assert!(needed > limit && needed < limit + 4096, "{needed}");
        }
        other => panic!("expected a refusal of memory, got {other:?}"),
    }
}

#[test]
fn boxed_values_count_as_memory() {
    #[derive(Debug, Deserialize)]
    struct Big(#[expect(dead_code, reason = "only decoded")] Option<[u64; 32]>);
    let mut bytes = announce(100);
    bytes.resize(bytes.len() + 200, 1);
    for pair in bytes[1..].chunks_mut(2) {
        pair[1] = 0;
    }
    let limits = DecodeLimits { memory: 20_000, ..DecodeLimits::default() };
    let error = decode::<Vec<Option<Box<Big>>>>(&bytes, &limits).expect_err("26 kB are needed");
    assert!(matches!(error, DecodeError::TooMuchMemory { limit: 20_000, .. }), "{error:?}");
}

#[test]
fn owned_text_counts_as_memory_and_borrowed_text_does_not() {
    let bytes = encoded(&"x".repeat(1000));
    let limits = DecodeLimits { memory: 999, ..DecodeLimits::default() };
    let error = decode::<String>(&bytes, &limits).expect_err("a thousand bytes are copied");
    assert_eq!(error, DecodeError::TooMuchMemory { limit: 999, needed: 1000 });
    let text = "the value takes at least 1000 bytes of memory, over the limit of 999";
    assert_eq!(error.to_string(), text);
    assert!(decode::<&str>(&bytes, &limits).is_ok());
}

#[test]
fn a_type_that_swallows_errors_gets_no_further_than_its_budget() {
    thread_local!(static TRIES: Cell<usize> = const { Cell::new(0) });
    #[derive(Debug)]
    struct Lenient;
    impl<'de> Deserialize<'de> for Lenient {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            TRIES.set(TRIES.get() + 1);
            let _ = Vec::<[u64; 32]>::deserialize(deserializer);
            Ok(Self)
        }
    }
    let mut bytes = announce(1000);
    bytes.resize(bytes.len() + 1000, 0x7f);
    let limits = DecodeLimits { memory: 4000, ..DecodeLimits::default() };
    let error = decode::<Vec<Option<(Lenient, u8)>>>(&bytes, &limits).expect_err("no budget left");
    assert!(!matches!(error, DecodeError::Truncated), "{error:?}");
    assert!(TRIES.get() < 100, "{}", TRIES.get());
}

#[test]
fn a_size_hint_promises_no_more_than_the_bytes_can_hold() {
    #[derive(Debug, PartialEq)]
    struct Hint(Option<usize>);
    impl<'de> Deserialize<'de> for Hint {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Hints;
            impl<'de> serde::de::Visitor<'de> for Hints {
                type Value = Hint;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence")
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Hint, A::Error> {
                    Ok(Hint(seq.size_hint()))
                }
            }
            deserializer.deserialize_seq(Hints)
        }
    }
    assert_eq!(decoded(&announce(5)), Ok(Hint(Some(0))));
    let bytes = [5, 1, 1, 1];
    let mut decoder = super::Decoder::new(&bytes, &DecodeLimits::default());
    assert_eq!(Hint::deserialize(&mut decoder).expect("it takes any"), Hint(Some(3)));
}

#[test]
fn invalid_values_say_what_is_wrong() {
    assert_eq!(invalid_text::<bool>(&[2]), "a bool is neither 0 nor 1");
    assert_eq!(invalid_text::<Option<u8>>(&[7, 0]), "an option starts with 7, neither 0 nor 1");
    assert!(invalid_text::<&str>(&[2, 0xc3, 0x28]).starts_with("a string is not UTF-8: "));
    assert_eq!(invalid_text::<char>(b"\x02ab"), "a char is not one character");
    assert_eq!(invalid_text::<char>(&[0]), "a char is not one character");
    let too_large = "an integer is too large for its type";
    assert_eq!(invalid_text::<u16>(&[0xff, 0xff, 0x7f]), too_large);
    assert_eq!(invalid_text::<u32>(&[0xff; 6]), too_large);
    let variant = invalid_text::<Level>(&[9]);
    assert!(variant.contains("integer `9`") && variant.contains("0 <= i < 4"), "{variant}");
}

#[test]
fn a_type_that_needs_self_describing_bytes_is_named() {
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Either {
        #[expect(dead_code, reason = "only decoded")]
        Number(u8),
    }
    let error = refused::<Either>(&[1]);
    assert!(matches!(error, DecodeError::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("does not describe itself"), "{error}");
}

#[test]
fn limits_of_the_largest_size_do_not_overflow() {
    let limits = DecodeLimits { depth: u32::MAX, memory: usize::MAX };
    let bytes = encoded(&record());
    assert_eq!(decode::<Record>(&bytes, &limits), Ok(record()));
    let mut out = vec![1];
    assert_eq!(encode(&record(), &mut out, usize::MAX), Ok(()));
}
