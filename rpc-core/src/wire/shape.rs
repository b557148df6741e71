//! The shape of a type: what serde asks a deserializer for, as a line of text.
//!
//! Two ends compare the shapes of a method's arguments and result before its first call, since a
//! positional payload read with another struct would be misread in silence. The text is canonical:
//!
//! ```text
//! bool i8 .. i128 u8 .. u128 f32 f64 char str bytes ()    leaves
//! option<S>  [S]  map<K, V>             a sequence of u8 is `bytes`
//! (S, T)  [S; n]                        tuples and arrays: `[S; n]` for n > 1 of one shape
//! {name: S, name: T}                    structs: fields in order
//! enum{A, B(S), C(S, T), D{name: S}}    enums: variants in order, never as `[S; n]`
//! ^n     recursion: the construct n levels up, ^1 being the one that surrounds this
//! any    bytes that would have to describe themselves, and cannot be decoded
//! S|T    a part whose shape depends on a value before it
//! ...    a part that could not be looked at
//! ```
//!
//! Names of fields and variants are part of it, names of types are not: newtypes are transparent,
//! and `String`, `&str` and `Box<str>` are all `str`. Each bracket is a level for `^n`, but for the
//! parentheses and braces of a variant, which belong to their enum. What is pointed back to is a
//! struct, newtype or enum, or another construct where the recursion meets none of these. A name
//! that is not all ASCII letters, digits and `_` stands in double quotes, with `\` before `"` and
//! `\`. A text longer than 64 KiB is cut there and ends in `...#` and 16 digits, a hash of it all.

mod graph;
mod render;
mod survey;
mod tracer;

use serde::Deserialize;

use survey::Survey;
use tracer::Tracer;

/// The shape of `T` in the grammar of this module's head.
///
/// `T::deserialize` is run several times on made-up values, until each variant of each enum has
/// been seen. A type that rejects them all (because it parses its text, say) has its own shape in
/// the result, but the fields that stand after it may show as `...`. The text depends on the type
/// alone: it is the same in every run, and on every machine.
#[must_use]
pub fn shape<'de, T: Deserialize<'de>>() -> String {
    let mut survey = Survey::new();
    while survey.begin_pass() {
        let outcome = T::deserialize(Tracer::root(&mut survey));
        survey.end_pass(outcome.is_ok());
    }
    render::render(survey.graph())
}

/// The FNV-1a hash of a text's UTF-8 bytes, 64 bits wide.
///
/// Offset basis `0xcbf29ce484222325`, prime `0x100000001b3`; see RFC 9923. It tells accidents
/// apart, not attacks.
#[must_use]
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "shape_survey_tests.rs"]
mod survey_tests;
