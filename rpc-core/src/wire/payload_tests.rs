//! Round trips of the payload encoding, and what cannot be encoded.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::ser::{Error as _, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};

use super::{DecodeError, DecodeLimits, EncodeError, decode, encode};

const PLENTY: usize = 1 << 26;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Level {
    Low,
    Mid(u8),
    High { above: i16, since: Duration },
    Pair(u32, String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    id: u64,
    delta: i32,
    weight: f64,
    live: bool,
    letter: char,
    name: String,
    samples: Vec<u32>,
    note: Option<String>,
    level: Level,
    table: BTreeMap<String, i64>,
    pair: (i8, u16),
    wide: (u128, i128),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Nested(pub(super) Option<Box<Self>>);

pub(super) fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out, PLENTY).expect("the value fits");
    out
}

pub(super) fn decoded<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    decode(bytes, &DecodeLimits::default())
}

pub(super) fn refused<'de, T: Deserialize<'de> + Debug>(bytes: &'de [u8]) -> DecodeError {
    decoded::<T>(bytes).expect_err("the bytes must be refused")
}

pub(super) fn invalid_text<'de, T: Deserialize<'de> + Debug>(bytes: &'de [u8]) -> String {
    match refused::<T>(bytes) {
        DecodeError::Invalid(text) => text,
        other => panic!("expected an invalid value, got {other:?}"),
    }
}

pub(super) fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let bytes = encoded(&value);
    assert_eq!(bytes, postcard::to_allocvec(&value).expect("postcard takes it"));
    assert_eq!(decoded::<T>(&bytes).expect("what was encoded decodes"), value);
}

pub(super) fn record() -> Record {
    Record {
        id: 1 << 40,
        delta: -5,
        weight: 1.5,
        live: true,
        letter: 'é',
        name: "sixteen letters!".to_owned(),
        samples: (0..16).map(|sample| sample * 1000).collect(),
        note: Some("a note".to_owned()),
        level: Level::High { above: -300, since: Duration::from_millis(1500) },
        table: BTreeMap::from([("a".to_owned(), i64::MIN), ("b".to_owned(), i64::MAX)]),
        pair: (i8::MIN, u16::MAX),
        wide: (u128::MAX, i128::MIN),
    }
}

fn levels() -> impl Strategy<Value = Level> {
    prop_oneof![
        Just(Level::Low),
        any::<u8>().prop_map(Level::Mid),
        (any::<i16>(), any::<Duration>()).prop_map(|(above, since)| Level::High { above, since }),
        (any::<u32>(), any::<String>()).prop_map(|(number, text)| Level::Pair(number, text)),
    ]
}

fn records() -> impl Strategy<Value = Record> {
    let scalars = (any::<u64>(), any::<i32>(), -1e9..1e9, any::<bool>(), any::<char>());
    let texts = (any::<String>(), any::<Vec<u32>>(), any::<Option<String>>(), levels());
    let rest = (any::<BTreeMap<String, i64>>(), any::<(i8, u16)>(), any::<(u128, i128)>());
    (scalars, texts, rest).prop_map(|(scalars, texts, (table, pair, wide))| {
        let (id, delta, weight, live, letter) = scalars;
        let (name, samples, note, level) = texts;
        Record { id, delta, weight, live, letter, name, samples, note, level, table, pair, wide }
    })
}

proptest! {
    // Each case is large.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_survive_a_round_trip_in_postcard_bytes(value in records()) {
        round_trip(value);
    }

    #[test]
    fn containers_of_containers_survive_a_round_trip(
        value in any::<Vec<(Option<Vec<u8>>, BTreeSet<i64>, [char; 3], Result<(), f32>)>>()
            .prop_filter("NaN differs from itself", |rows| {
                rows.iter().all(|row| row.3.is_ok() || row.3.is_err_and(|weight| !weight.is_nan()))
            })
    ) {
        round_trip(value);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        let _ = decoded::<Record>(&bytes);
        let _ = decoded::<Vec<Level>>(&bytes);
        let _ = decoded::<Nested>(&bytes);
        let _ = decoded::<HashMap<Vec<u8>, Option<Cow<'_, str>>>>(&bytes);
    }

    #[test]
    fn what_postcard_reads_in_full_is_read_alike(bytes in any::<Vec<u8>>()) {
        let theirs = postcard::take_from_bytes::<(u16, i64, Option<String>, Vec<i8>)>(&bytes).ok();
        let theirs = theirs.filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value);
        prop_assert_eq!(decoded(&bytes).ok(), theirs);
    }

    #[test]
    fn the_limit_is_exact(text in any::<String>(), limit in 0usize..64) {
        let full = encoded(&text);
        let mut out = b"before".to_vec();
        let result = encode(&text, &mut out, limit);
        if full.len() <= limit {
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(&out[6..], &full[..]);
        } else {
            prop_assert_eq!(result, Err(EncodeError::TooLarge { limit, actual: full.len() }));
            prop_assert_eq!(out, b"before");
        }
    }
}

#[test]
fn extremes_of_scalars_survive_a_round_trip() {
    round_trip((u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX, usize::MAX));
    round_trip((i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN, isize::MIN));
    round_trip((f32::MIN_POSITIVE, f64::INFINITY, '\0', char::MAX, true, ()));
    round_trip(("".to_owned(), Vec::<()>::new(), Some(None::<u8>), [0u8; 0]));
    round_trip(Ok::<_, String>(vec![Level::Low, Level::Pair(1, "one".to_owned())]));
}

#[test]
fn bytes_are_the_same_however_they_are_written() {
    let bytes = [1u8, 2, 200, 255];
    let as_sequence = encoded(&bytes[..]);
    assert_eq!(as_sequence, [4, 1, 2, 200, 255]);
    assert_eq!(as_sequence, encoded(serde_bytes::Bytes::new(&bytes)));
    let owned: serde_bytes::ByteBuf = decoded(&as_sequence).expect("bytes decode");
    assert_eq!(owned.as_slice(), bytes);
}

#[test]
fn borrowed_results_point_into_the_payload() {
    let bytes = encoded(&("borrowed text", serde_bytes::Bytes::new(b"borrowed bytes")));
    let (text, raw): (&str, &[u8]) = decoded(&bytes).expect("it decodes");
    let payload = bytes.as_ptr_range();
    assert_eq!((text, raw), ("borrowed text", &b"borrowed bytes"[..]));
    assert!(payload.contains(&text.as_ptr()));
    assert!(payload.contains(&raw.as_ptr()));
}

#[test]
fn encoding_appends_and_counts_only_its_own_bytes() {
    let mut out = vec![9; 100];
    encode(&"four", &mut out, 5).expect("one byte of length and four of text");
    assert_eq!(&out[100..], b"\x04four");
}

#[test]
fn a_value_over_the_limit_is_counted_to_its_end() {
    let mut out = vec![1, 2, 3];
    let value = (vec![0u64; 1000], "x".repeat(500), u64::MAX);
    let error = encode(&value, &mut out, 100).expect_err("it is over the limit");
    let actual = encoded(&value).len();
    assert_eq!(error, EncodeError::TooLarge { limit: 100, actual });
    assert_eq!(error.to_string(), "the value takes 1514 bytes, over the limit of 100");
    assert_eq!(out, [1, 2, 3]);
    assert!(out.capacity() < 500, "what is over the limit is not stored");
}

#[test]
fn a_sequence_of_unknown_length_is_refused() {
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_seq(None)?.end()
        }
    }
    let error = encode(&Endless, &mut Vec::new(), PLENTY).expect_err("it has no length");
    assert!(error.to_string().contains("does not know its length"), "{error}");
}

#[test]
fn the_message_of_a_serialize_error_is_kept_and_the_buffer_restored() {
    struct Refusing;
    impl Serialize for Refusing {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("the lock is poisoned"))
        }
    }
    let mut out = vec![1];
    let error = encode(&(1u8, "text", Refusing), &mut out, PLENTY).expect_err("it refuses");
    assert_eq!(error, EncodeError::Unsupported("the lock is poisoned".to_owned()));
    assert_eq!(out, [1]);
}

#[test]
fn a_field_left_out_at_run_time_is_refused_since_its_reader_would_misread_the_rest() {
    #[derive(Serialize)]
    struct Gap {
        #[serde(skip_serializing_if = "Option::is_none")]
        perhaps: Option<u8>,
        always: u8,
    }
    assert_eq!(encoded(&Gap { perhaps: Some(1), always: 2 }), [1, 1, 2]);
    let gap = Gap { perhaps: None, always: 2 };
    let error = encode(&gap, &mut Vec::new(), PLENTY).expect_err("a field is left out");
    assert!(error.to_string().contains("`perhaps`"), "{error}");
}

#[test]
fn the_message_of_a_deserialize_error_is_kept() {
    let text = invalid_text::<std::num::NonZeroU8>(&[0]);
    assert!(text.contains("nonzero"), "{text}");
    let error = refused::<(u8, std::num::NonZeroU8)>(&[1, 0]);
    assert!(error.to_string().starts_with("the bytes are not a valid value: "), "{error}");
}
