//! Values of every shape, to bytes and back.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::hex::{Vectors, assert_same};
use crate::service::{DivideError, Pair};
use crate::{decoded, encoded};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Figure {
    Point,
    Circle(u32),
    Box(u32, u32),
}

/// The vectors, and which of them have been looked at.
struct Checked {
    golden: Vectors,
    names: Vec<&'static str>,
}

impl Checked {
    #[track_caller]
    fn same<T>(&mut self, name: &'static str, value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let golden = self.golden.get(name);
        assert_same(name, &encoded(&value), golden);
        assert_eq!(decoded::<T>(golden), value, "[{name}]");
        self.names.push(name);
    }
}

#[test]
fn values_are_written_and_read_as_ever() {
    let mut checked = Checked { golden: Vectors::load("payloads.hex"), names: Vec::new() };
    scalars(&mut checked);
    texts(&mut checked);
    containers(&mut checked);
    checked.names.sort_unstable();
    assert!(checked.golden.names().eq(checked.names.iter().copied()), "a vector is not checked");
}

fn scalars(checked: &mut Checked) {
    checked.same("bool-false", false);
    checked.same("bool-true", true);
    checked.same("u8-200", 200u8);
    checked.same("i8-minus-1", -1i8);
    checked.same("u16-300", 300u16);
    checked.same("u32-max", u32::MAX);
    checked.same("u64-max", u64::MAX);
    checked.same("u128-max", u128::MAX);
    checked.same("i16-minus-1", -1i16);
    checked.same("i32-min", i32::MIN);
    checked.same("i64-5", 5i64);
    checked.same("i64-minus-300", -300i64);
    checked.same("i128-min", i128::MIN);
    checked.same("f32-1.5", 1.5f32);
    checked.same("f64-minus-2.25", -2.25f64);
    checked.same("f64-infinity", f64::INFINITY);
    checked.same("unit", ());
}

fn texts(checked: &mut Checked) {
    checked.same("char", 'é');
    checked.same("str", "größer".to_owned());
    checked.same("str-empty", String::new());
    checked.same("bytes", serde_bytes::ByteBuf::from([0, 1, 254, 255]));
    let pairs = [("trace", "42"), ("from", "é")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    checked.same("metadata", pairs.to_vec());
}

fn containers(checked: &mut Checked) {
    checked.same("none", None::<u32>);
    checked.same("some", Some(300u32));
    checked.same("some-none", Some(None::<u8>));
    checked.same("tuple", (1u16, "a".to_owned(), true));
    checked.same("array", [1u32, 128, 3]);
    checked.same("list", vec![1u32, 128, 3]);
    checked.same("list-of-lists", vec![Vec::new(), vec![7u32]]);
    checked.same("map", BTreeMap::from([("a".to_owned(), 1i64), ("b".to_owned(), -1)]));
    checked.same("struct", Pair { left: "x".to_owned(), right: Some(-5) });
    checked.same("enum-unit", DivideError::ByZero);
    checked.same("enum-struct", DivideError::TooLarge { limit: 9 });
    checked.same("enum-newtype", Figure::Circle(8));
    checked.same("enum-tuple", Figure::Box(3, 4));
    checked.same("result-ok", Ok::<u8, String>(9));
    checked.same("result-err", Err::<u8, _>("no".to_owned()));
    checked.same("duration", Duration::new(90, 500));
    assert_eq!(encoded(&Figure::Point), [0]);
}
