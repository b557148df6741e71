//! Shapes that are hard to find: of types that recurse, that reject values, or that grow.
#![expect(dead_code, reason = "the types are only looked at")]
#![expect(clippy::use_self, reason = "recursion is easier to follow by name")]

use std::fmt;
use std::net::Ipv4Addr;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::shape;

/// Declares types that can be decoded, with nothing else to say about them.
macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Deserialize)]
        $item
    )*};
}

#[test]
fn recursion_points_back_to_the_level_of_the_type() {
    types! {
        struct Link { value: u8, next: Option<Box<Link>> }
        struct Tree { name: String, children: Vec<Tree> }
        struct Forest(Vec<Forest>);
        struct Ping { pong: Option<Box<Pong>> }
        struct Pong { ping: Option<Box<Ping>>, level: u8 }
    }
    assert_eq!(shape::<Link>(), "{value: u8, next: option<^2>}");
    assert_eq!(shape::<Tree>(), "{name: str, children: [^2]}");
    assert_eq!(shape::<Forest>(), "[^1]");
    assert_eq!(shape::<Ping>(), "{pong: option<{ping: option<^4>, level: u8}>}");
    assert_eq!(shape::<Pong>(), "{ping: option<{pong: option<^4>}>, level: u8}");
}

#[test]
fn recursion_is_written_alike_wherever_it_is_entered() {
    types! {
        struct Tree { children: Vec<Tree> }
        #[expect(clippy::vec_box, reason = "the box changes the type and not the shape")]
        struct Boxed { children: Vec<Box<Boxed>> }
    }
    assert_eq!(shape::<Vec<Tree>>(), "[{children: [^2]}]");
    assert_eq!(shape::<Vec<Boxed>>(), "[{children: [^2]}]");
}

#[test]
fn recursive_enums_are_seen_in_full() {
    types! {
        enum Expr {
            Add(Box<Expr>, Box<Expr>),
            Not(Box<Expr>),
            Call { name: String, arguments: Vec<Expr>, kind: CallKind },
            Number(i64),
        }
        enum CallKind { Method(Box<Expr>), Free }
    }
    assert_eq!(
        shape::<Expr>(),
        "enum{Add(^1, ^1), Not(^1), Call{name: str, arguments: [^2], \
         kind: enum{Method(^2), Free}}, Number(i64)}"
    );
}

#[test]
fn a_wide_recursive_enum_takes_no_exponential_time() {
    type E = Box<Wide>;
    types! {
        enum Wide {
            A(E, E), B(E, E), C(E, E), D(E, E), F(E, E), G(E, E), H(E, E), I(E, E), J(E, E),
            K(E, E), L(E, E), M(E, E), N(E, E), O(E, E), P(E, E), Q(E, E), R(E, E), S(E, E),
            T(E, E), U(E, E), V(E, E), W(E, E), X(E, E), Y(E, E), Z(E, E), Leaf,
        }
    }
    let text = shape::<Wide>();
    assert!(text.starts_with("enum{A(^1, ^1), B(^1, ^1), "), "{text}");
    assert!(text.ends_with("Z(^1, ^1), Leaf}"), "{text}");
    assert!(!text.contains("..."), "{text}");
}

#[test]
fn mutual_recursion_through_many_types_is_seen_in_full() {
    types! {
        struct Statement { kind: StatementKind, next: Option<Box<Statement>> }
        enum StatementKind {
            Block(Vec<Statement>),
            Value(Term),
            If { test: Term, then: Box<Statement> },
        }
        enum Term { Sum(Vec<Factor>), Empty }
        enum Factor { Group(Box<Term>), Closure(Box<Statement>), Name(String) }
    }
    let text = shape::<Statement>();
    assert!(!text.contains("..."), "{text}");
    let factor = "enum{Group(^3), Closure(^5), Name(str)}";
    let term = format!("enum{{Sum([{factor}]), Empty}}");
    let kind = format!("enum{{Block([^3]), Value({term}), If{{test: {term}, then: ^2}}}}");
    assert_eq!(text, format!("{{kind: {kind}, next: option<^2>}}"));
}

#[test]
fn types_without_any_value_are_survived() {
    types! {
        struct Endless(Box<Endless>);
        struct There { back: Box<Back> }
        struct Back { there: Box<There> }
        enum Loop { Again(Box<Loop>), Both(Box<Loop>, u8) }
        struct Holder { never: Option<Box<There>>, after: u8 }
    }
    assert_eq!(shape::<Endless>(), "^0");
    assert!(shape::<There>().starts_with("{back: {there: ^2"), "{}", shape::<There>());
    assert!(shape::<Loop>().starts_with("enum{Again(^1"), "{}", shape::<Loop>());
    let holder = shape::<Holder>();
    assert!(holder.starts_with("{never: option<{back: {there: ^2"), "{holder}");
    assert!(holder.ends_with(", after: u8}"), "{holder}");
}

#[test]
fn what_describes_itself_is_any() {
    types! {
        #[serde(untagged)] enum Untagged { Number(u8), Text(String) }
        #[serde(tag = "t", content = "c")] enum Adjacent { Number(u8), Text(String) }
        #[serde(tag = "type")] enum Internal { One { a: u8 } }
        struct Rest { a: u8 }
        struct Flattened { first: u8, #[serde(flatten)] rest: Rest }
    }
    assert_eq!(shape::<Untagged>(), "any");
    assert_eq!(shape::<Internal>(), "any");
    assert_eq!(shape::<Flattened>(), "any");
    assert!(shape::<Adjacent>().starts_with("{t: any, c: "), "{}", shape::<Adjacent>());
    assert_eq!(shape::<Option<Untagged>>(), "option<any>");
    assert_eq!(shape::<serde::de::IgnoredAny>(), "any");
}

#[test]
fn contents_that_depend_on_a_tag_are_all_shown() {
    types! {
        enum Tag { Number, Text, Deep }
        enum Deep { X(u8), Y(u16), Z(u32) }
    }
    struct Tagged;
    impl<'de> Deserialize<'de> for Tagged {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_tuple(2, TaggedVisitor)
        }
    }
    struct TaggedVisitor;
    impl<'de> Visitor<'de> for TaggedVisitor {
        type Value = Tagged;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a tag and its content")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tagged, A::Error> {
            let tag = seq.next_element::<Tag>()?.ok_or(A::Error::custom("no tag"))?;
            let found = match tag {
                Tag::Number => seq.next_element::<u8>()?.is_some(),
                Tag::Text => seq.next_element::<String>()?.is_some(),
                Tag::Deep => seq.next_element::<Vec<Deep>>()?.is_some(),
            };
            if found { Ok(Tagged) } else { Err(A::Error::custom("no content")) }
        }
    }
    let deep = "[enum{X(u8), Y(u16), Z(u32)}]";
    assert_eq!(shape::<Tagged>(), format!("(enum{{Number, Text, Deep}}, u8|str|{deep})"));
}

#[test]
fn types_that_parse_their_text_are_seen_and_passed() {
    struct Address;
    impl<'de> Deserialize<'de> for Address {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = <&str>::deserialize(deserializer)?;
            text.parse::<Ipv4Addr>().map_err(D::Error::custom)?;
            Ok(Self)
        }
    }
    types! {
        #[serde(try_from = "u16")] struct Even(u16);
        #[serde(try_from = "(u8, u8)")] struct Rising(u8, u8);
        struct Host { address: Address, port: Even, range: Rising, after: Vec<Address> }
    }
    impl TryFrom<u16> for Even {
        type Error = &'static str;
        fn try_from(value: u16) -> Result<Self, Self::Error> {
            if value.is_multiple_of(2) { Ok(Self(value)) } else { Err("odd") }
        }
    }
    impl TryFrom<(u8, u8)> for Rising {
        type Error = &'static str;
        fn try_from((low, high): (u8, u8)) -> Result<Self, Self::Error> {
            if low < high { Ok(Self(low, high)) } else { Err("falling") }
        }
    }
    assert_eq!(shape::<Host>(), "{address: str, port: u16, range: [u8; 2], after: [str]}");
}

#[test]
fn a_type_that_takes_no_value_hides_only_what_follows_it() {
    struct Picky;
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            u32::deserialize(deserializer)?;
            Err(D::Error::custom("never good enough"))
        }
    }
    types! {
        struct Stuck { before: u8, picky: Picky, after: Vec<u8> }
        struct Around { first: Option<Stuck>, second: Vec<Picky>, third: Perhaps, last: String }
        enum Perhaps { Picky(u8, Picky, u8), Fine(u8) }
    }
    assert_eq!(shape::<Picky>(), "u32");
    assert_eq!(shape::<Stuck>(), "{before: u8, picky: u32, after: ...}");
    assert_eq!(
        shape::<Around>(),
        "{first: option<{before: u8, picky: u32, after: ...}>, second: [u32], \
         third: enum{Picky(u8, u32, ...), Fine(u8)}, last: str}"
    );
}

#[test]
fn a_list_that_may_not_be_empty_is_given_an_element() {
    types! {
        #[serde(try_from = "Vec<u8>")] struct Filled(Vec<u8>);
        struct Lists { first: Filled, second: Filled, level: Level }
        enum Level { Low, High(Filled) }
    }
    impl TryFrom<Vec<u8>> for Filled {
        type Error = &'static str;
        fn try_from(list: Vec<u8>) -> Result<Self, Self::Error> {
            if list.is_empty() { Err("empty") } else { Ok(Self(list)) }
        }
    }
    let text = "{first: bytes, second: bytes, level: enum{Low, High(bytes)}}";
    assert_eq!(shape::<Lists>(), text);
}

#[test]
fn a_shape_that_would_double_with_each_level_is_cut() {
    types! { struct Double<T> { left: Vec<T>, right: Option<T> } }
    type D2<T> = Double<Double<T>>;
    type D8<T> = D2<D2<D2<D2<T>>>>;
    let text = shape::<D8<D8<u16>>>();
    let (start, digest) = text.split_once("...#").expect("it is too long");
    assert_eq!((start.len(), digest.len()), (64 * 1024, 16));
    assert_eq!(text, shape::<D8<D8<u16>>>());
    // The digest sees what the text has no room for, and no more than the text would say.
    types! { struct Id(u16); }
    let other = shape::<D8<D8<u8>>>();
    assert_ne!(digest, other.split_once("...#").expect("it is too long").1);
    assert_eq!(text, shape::<D8<D8<Id>>>());
}

#[test]
fn large_arrays_and_structs_are_seen_in_full() {
    types! { struct Block { bytes: [[[u8; 32]; 32]; 32], last: u8 } }
    assert_eq!(shape::<Block>(), "{bytes: [[[u8; 32]; 32]; 32], last: u8}");
}
