//! Shapes of many types, golden: a change here is a change of the protocol.
#![expect(dead_code, reason = "the types are only looked at")]
#![expect(clippy::use_self, reason = "recursion is easier to follow by name")]

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroI64, NonZeroU32, Wrapping};
use std::ops::{Bound, Range};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::{fingerprint, shape};

/// Declares types that can be decoded, with nothing else to say about them.
macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Deserialize)]
        $item
    )*};
}

#[test]
fn scalars_are_named_as_in_rust() {
    assert_eq!(shape::<(bool, char, f32, f64)>(), "(bool, char, f32, f64)");
    assert_eq!(shape::<(i8, i16, i32, i64, i128)>(), "(i8, i16, i32, i64, i128)");
    assert_eq!(shape::<(u8, u16, u32, u64, u128)>(), "(u8, u16, u32, u64, u128)");
    assert_eq!(shape::<(usize, isize)>(), "(u64, i64)");
    assert_eq!(shape::<()>(), "()");
    assert_eq!(shape::<PhantomData<u8>>(), "()");
}

#[test]
fn text_is_str_however_it_is_held() {
    for text in [
        shape::<String>(),
        shape::<&str>(),
        shape::<Box<str>>(),
        shape::<Cow<'_, str>>(),
        shape::<PathBuf>(),
    ] {
        assert_eq!(text, "str");
    }
}

#[test]
fn bytes_are_bytes_however_they_are_held() {
    for text in [
        shape::<Vec<u8>>(),
        shape::<&[u8]>(),
        shape::<Box<[u8]>>(),
        shape::<VecDeque<u8>>(),
        shape::<serde_bytes::ByteBuf>(),
        shape::<&serde_bytes::Bytes>(),
        shape::<std::ffi::CString>(),
        shape::<Cow<'_, [u8]>>(),
    ] {
        assert_eq!(text, "bytes");
    }
    assert_eq!(shape::<Vec<i8>>(), "[i8]");
    assert_eq!(shape::<Vec<bool>>(), "[bool]");
    assert_eq!(shape::<[u8; 16]>(), "[u8; 16]");
}

#[test]
fn containers_of_std_have_the_shapes_of_their_contents() {
    assert_eq!(shape::<Option<Option<u8>>>(), "option<option<u8>>");
    assert_eq!(shape::<Vec<Vec<String>>>(), "[[str]]");
    assert_eq!(shape::<(HashSet<u16>, BTreeSet<u16>, LinkedList<u16>)>(), "[[u16]; 3]");
    assert_eq!(shape::<BTreeMap<String, Vec<u32>>>(), "map<str, [u32]>");
    assert_eq!(shape::<HashMap<(u8, u16), ()>>(), "map<(u8, u16), ()>");
    assert_eq!(shape::<Result<u8, String>>(), "enum{Ok(u8), Err(str)}");
    assert_eq!(shape::<Bound<u8>>(), "enum{Unbounded, Included(u8), Excluded(u8)}");
    assert_eq!(shape::<Range<i32>>(), "{start: i32, end: i32}");
}

#[test]
fn wrappers_are_transparent() {
    types! { struct Id(u64); }
    assert_eq!(shape::<Id>(), "u64");
    assert_eq!(shape::<Box<RefCell<Mutex<Wrapping<Cell<u64>>>>>>(), "u64");
    assert_eq!(shape::<Vec<Id>>(), shape::<Vec<u64>>());
}

#[test]
fn types_of_std_that_check_their_values_are_seen_through() {
    assert_eq!(shape::<(NonZeroU32, NonZeroI64)>(), "(u32, i64)");
    assert_eq!(shape::<Duration>(), "{secs: u64, nanos: u32}");
    assert_eq!(shape::<SystemTime>(), "{secs_since_epoch: u64, nanos_since_epoch: u32}");
    assert_eq!(shape::<Ipv4Addr>(), "[u8; 4]");
    assert_eq!(shape::<IpAddr>(), "enum{V4([u8; 4]), V6([u8; 16])}");
    let socket = "enum{V4(([u8; 4], u16)), V6(([u8; 16], u16))}";
    assert_eq!(shape::<SocketAddr>(), socket);
}

#[test]
fn tuples_and_arrays_are_one() {
    types! { struct Pair(u32, u32); }
    assert_eq!(shape::<(u32, u32)>(), "[u32; 2]");
    assert_eq!(shape::<[u32; 2]>(), "[u32; 2]");
    assert_eq!(shape::<Pair>(), "[u32; 2]");
    assert_eq!(shape::<(u32,)>(), "(u32)");
    assert_eq!(shape::<[u32; 1]>(), "(u32)");
    assert_eq!(shape::<[u32; 0]>(), "()");
    assert_eq!(shape::<[[f64; 3]; 32]>(), "[[f64; 3]; 32]");
}

#[test]
fn elements_of_one_shape_are_gathered_even_if_their_types_differ() {
    types! { struct Id(u64); }
    assert_eq!(shape::<(Id, u64)>(), "[u64; 2]");
}

#[test]
fn structs_name_their_fields() {
    types! {
        struct Unit;
        struct Empty {}
        struct Point { x: f64, y: f64 }
        struct Renamed {
            #[serde(rename = "type")] kind: u8,
            #[serde(rename = "a: u8, \"b\\")] odd: u8,
        }
    }
    assert_eq!(shape::<Unit>(), "()");
    assert_eq!(shape::<Empty>(), "{}");
    assert_eq!(shape::<Point>(), "{x: f64, y: f64}");
    assert_eq!(shape::<Renamed>(), r#"{type: u8, "a: u8, \"b\\": u8}"#);
}

#[test]
fn enums_list_all_variants_in_order() {
    types! {
        enum Shape {
            Nothing,
            One(u8),
            Pair(u16, String),
            Same(u8, u8),
            Named { x: i8, y: Option<i8> },
            None(),
        }
        enum Never {}
    }
    let text =
        "enum{Nothing, One(u8), Pair(u16, str), Same(u8, u8), Named{x: i8, y: option<i8>}, None()}";
    assert_eq!(shape::<Shape>(), text);
    assert_eq!(shape::<Never>(), "enum{}");
    assert_eq!(shape::<Option<Never>>(), "option<enum{}>");
}

#[test]
fn all_variants_of_enums_within_enums_are_seen() {
    types! {
        enum Inner { A(u8), B { c: u16 } }
        enum Outer { First(Inner), Second(Vec<Option<Inner>>), Third(BTreeMap<Inner2, Inner>) }
        #[derive(PartialEq, Eq, PartialOrd, Ord)] enum Inner2 { X, Y(i64) }
    }
    let inner = "enum{A(u8), B{c: u16}}";
    let keys = "enum{X, Y(i64)}";
    assert_eq!(
        shape::<(Outer, bool)>(),
        format!(
            "(enum{{First({inner}), Second([option<{inner}>]), Third(map<{keys}, {inner}>)}}, bool)"
        )
    );
}

#[test]
fn a_swap_of_fields_or_variants_changes_the_shape() {
    types! {
        struct Before { width: u32, height: u32 }
        struct After { height: u32, width: u32 }
        enum Up { On, Off }
        enum Down { Off, On }
    }
    assert_ne!(shape::<Before>(), shape::<After>());
    assert_ne!(shape::<Up>(), shape::<Down>());
    assert_ne!(fingerprint(&shape::<Before>()), fingerprint(&shape::<After>()));
}

#[test]
fn a_renamed_type_keeps_its_shape() {
    types! {
        struct Old { next: Option<Box<Old>>, level: OldLevel }
        enum OldLevel { Low, High(u8) }
        struct New { next: Option<Box<New>>, level: NewLevel }
        enum NewLevel { Low, High(u8) }
    }
    assert_eq!(shape::<Old>(), shape::<New>());
}

#[test]
fn types_of_the_same_name_are_told_apart() {
    mod a {
        #[derive(serde::Deserialize)]
        pub(super) struct Item(u8);
        #[derive(serde::Deserialize)]
        pub(super) enum Kind {
            One(u8),
        }
    }
    mod b {
        #[derive(serde::Deserialize)]
        pub(super) struct Item(String);
        #[derive(serde::Deserialize)]
        pub(super) enum Kind {
            One(bool),
        }
    }
    types! { struct Wrapper<T> { inner: T, more: Option<Vec<T>> } }
    assert_eq!(shape::<(a::Item, b::Item)>(), "(u8, str)");
    assert_eq!(shape::<(a::Kind, b::Kind)>(), "(enum{One(u8)}, enum{One(bool)})");
    assert_eq!(
        shape::<(Wrapper<u8>, Wrapper<String>)>(),
        "({inner: u8, more: option<bytes>}, {inner: str, more: option<[str]>})"
    );
}

#[test]
fn aliases_leave_no_ghosts() {
    types! {
        struct Aliased { #[serde(alias = "zeta")] a: u8, b: u16 }
        enum AliasedEnum { #[serde(alias = "Zeta")] A(u8), B }
    }
    // serde lists aliases among the names, so that later names are shifted; the parts are right.
    assert_eq!(shape::<Aliased>(), "{a: u8, zeta: u16}");
    assert_eq!(shape::<AliasedEnum>(), "enum{A(u8), Zeta}");
}

#[test]
fn the_hash_is_fnv_1a() {
    assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fingerprint("a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
}
