//! A deserializer without bytes: it notes what is asked for and answers with made-up values.
//!
//! What to answer is the survey's business; this is the part that serde's traits make generic.

use std::any::type_name;
use std::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::graph::{Form, Kind, Site};
use super::survey::{Entered, Refused, Survey};

/// Values for a type that is picky: not zero, a size, a code, a year.
const INTEGERS: [i16; 8] = [1, 0, 2, 3, 4, 10, 100, -1];
const FLOATS: [f32; 4] = [1.0, 0.0, 0.5, -1.0];
const CHARS: [char; 4] = ['a', '0', 'A', ' '];
/// Texts that the usual types are parsed from: numbers, addresses, dates, names.
const TEXTS: [&str; 16] = [
    "",
    "0",
    "a",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "1970-01-01T00:00:00Z",
    "1970-01-01",
    "00:00:00",
    "1970-01-01T00:00:00",
    "00000000-0000-0000-0000-000000000000",
    "http://localhost/",
    "1.0.0",
    "UTC",
    "en",
    "/",
];
/// Lengths of byte strings: none, or those of addresses, identifiers and keys.
const LENGTHS: [usize; 8] = [0, 16, 1, 4, 8, 20, 32, 64];
const ZEROS: [u8; 64] = [0; 64];

/// A deserializer for what stands in one place.
pub(super) struct Tracer<'s> {
    survey: &'s mut Survey,
    site: Site,
}

impl<'s> Tracer<'s> {
    /// A tracer for the whole type.
    pub(super) fn root(survey: &'s mut Survey) -> Self {
        let site = survey.site(0, 0, 0);
        Self { survey, site }
    }

    fn leaf(&mut self, name: &'static str, count: usize) -> Result<usize, Rejected> {
        Ok(self.survey.leaf(self.site, name, count)?)
    }

    fn construct<'de, V: Visitor<'de>>(&mut self, kind: Kind) -> Result<usize, Rejected> {
        let (visitor, value) = (type_name::<V>(), type_name::<V::Value>());
        Ok(self.survey.construct(self.site, kind, visitor, value)?)
    }

    /// Enters the only part of a construct whose parts are fixed in number.
    fn fields<'de, V: Visitor<'de>>(
        mut self,
        kind: Kind,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        let node = self.construct::<V>(kind)?;
        inside(self.survey, node, 0, |survey| {
            visitor.visit_seq(Places { survey, node, part: 0, next: 0, len })
        })
    }
}

/// Runs `body` inside a part of a construct.
fn inside<T>(
    survey: &mut Survey,
    node: usize,
    part: usize,
    body: impl FnOnce(&mut Survey) -> Result<T, Rejected>,
) -> Result<T, Rejected> {
    let entered: Entered = survey.enter(node, part)?;
    let value = body(survey)?;
    survey.leave(entered);
    Ok(value)
}

macro_rules! leaves {
    ($($method:ident $visit:ident $name:literal $values:ident as $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Rejected> {
            let value = $values[self.leaf($name, $values.len())?];
            visitor.$visit(value as $type)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Tracer<'_> {
    type Error = Rejected;

    leaves! {
        deserialize_i8 visit_i8 "i8" INTEGERS as i8;
        deserialize_i16 visit_i16 "i16" INTEGERS as i16;
        deserialize_i32 visit_i32 "i32" INTEGERS as i32;
        deserialize_i64 visit_i64 "i64" INTEGERS as i64;
        deserialize_i128 visit_i128 "i128" INTEGERS as i128;
        deserialize_u8 visit_u8 "u8" INTEGERS as u8;
        deserialize_u16 visit_u16 "u16" INTEGERS as u16;
        deserialize_u32 visit_u32 "u32" INTEGERS as u32;
        deserialize_u64 visit_u64 "u64" INTEGERS as u64;
        deserialize_u128 visit_u128 "u128" INTEGERS as u128;
        deserialize_f32 visit_f32 "f32" FLOATS as f32;
        deserialize_f64 visit_f64 "f64" FLOATS as f64;
        deserialize_char visit_char "char" CHARS as char;
        deserialize_str visit_borrowed_str "str" TEXTS as &str;
        deserialize_string visit_borrowed_str "str" TEXTS as &str;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Rejected> {
        let value = self.leaf("bool", 2)? == 1;
        visitor.visit_bool(value)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Rejected> {
        let length = LENGTHS[self.leaf("bytes", LENGTHS.len())?];
        visitor.visit_borrowed_bytes(&ZEROS[..length])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rejected> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Rejected> {
        self.leaf("()", 1)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Rejected> {
        let node = self.construct::<V>(Kind::Option)?;
        if !self.survey.wants(node) {
            return visitor.visit_none();
        }
        inside(self.survey, node, 0, |survey| {
            let site = survey.site(node, 0, 0);
            visitor.visit_some(Tracer { survey, site })
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        let node = self.construct::<V>(Kind::Newtype)?;
        inside(self.survey, node, 0, |survey| {
            let site = survey.site(node, 0, 0);
            visitor.visit_newtype_struct(Tracer { survey, site })
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Rejected> {
        let node = self.construct::<V>(Kind::Sequence)?;
        if !self.survey.wants_element(self.site, node) {
            let survey = self.survey;
            return visitor.visit_seq(Places { survey, node, part: 0, next: 0, len: 0 });
        }
        inside(self.survey, node, 0, |survey| {
            visitor.visit_seq(Places { survey, node, part: 0, next: 0, len: 1 })
        })
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Rejected> {
        let node = self.construct::<V>(Kind::Map)?;
        if !self.survey.wants_element(self.site, node) {
            let survey = self.survey;
            return visitor.visit_map(Places { survey, node, part: 0, next: 0, len: 0 });
        }
        inside(self.survey, node, 0, |survey| {
            visitor.visit_map(Places { survey, node, part: 0, next: 0, len: 2 })
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        self.fields(Kind::Tuple { len, named: false }, len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        self.fields(Kind::Tuple { len, named: true }, len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        self.fields(Kind::Struct { names }, names.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        let node = self.construct::<V>(Kind::Enum { names })?;
        let part = self.survey.variant(node)?;
        inside(self.survey, node, part, |survey| visitor.visit_enum(Variant { survey, node, part }))
    }

    /// Answers with anything, so that the survey can go on behind it.
    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Rejected> {
        match self.leaf("any", 5)? {
            0 => visitor.visit_unit(),
            1 => visitor.visit_u64(1),
            2 => visitor.visit_borrowed_str(""),
            3 => visitor.visit_seq(de::value::SeqDeserializer::new(std::iter::empty::<u32>())),
            _ => {
                visitor.visit_map(de::value::MapDeserializer::new(std::iter::empty::<(u32, u32)>()))
            }
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rejected> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rejected> {
        self.deserialize_any(visitor)
    }
}

/// The places of a part, one after the other.
struct Places<'s> {
    survey: &'s mut Survey,
    node: usize,
    part: usize,
    next: usize,
    len: usize,
}

impl Places<'_> {
    fn next<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Rejected> {
        let site = self.survey.site(self.node, self.part, self.next);
        self.next += 1;
        seed.deserialize(Tracer { survey: self.survey, site })
    }
}

impl<'de> de::SeqAccess<'de> for Places<'_> {
    type Error = Rejected;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Rejected> {
        if self.next >= self.len { Ok(None) } else { self.next(seed).map(Some) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len.saturating_sub(self.next))
    }
}

/// The two places of a map are its key and its value.
impl<'de> de::MapAccess<'de> for Places<'_> {
    type Error = Rejected;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Rejected> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Rejected> {
        self.next(seed)
    }
}

/// A variant of an enum, known by its number as in the payload.
struct Variant<'s> {
    survey: &'s mut Survey,
    node: usize,
    part: usize,
}

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Rejected;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Rejected> {
        let number: U32Deserializer<Rejected> = (self.part as u32).into_deserializer();
        match seed.deserialize(number) {
            Ok(value) => Ok((value, self)),
            Err(rejected) => {
                self.survey.absent(self.node, self.part);
                Err(rejected)
            }
        }
    }
}

impl Variant<'_> {
    fn fields<'de, V: Visitor<'de>>(
        self,
        form: Form,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        let Self { survey, node, part } = self;
        survey.form(node, part, form);
        visitor.visit_seq(Places { survey, node, part, next: 0, len })
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Rejected;

    fn unit_variant(self) -> Result<(), Rejected> {
        self.survey.form(self.node, self.part, Form::Unit);
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Rejected> {
        let Self { survey, node, part } = self;
        survey.form(node, part, Form::Newtype);
        Places { survey, node, part, next: 0, len: 1 }.next(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Rejected> {
        self.fields(Form::Tuple(len), len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rejected> {
        self.fields(Form::Struct(names), names.len(), visitor)
    }
}

/// The type rejects a value, or the survey has seen enough. The reason is of no use.
#[derive(Debug)]
pub(super) struct Rejected;

impl From<Refused> for Rejected {
    fn from(_: Refused) -> Self {
        Self
    }
}

impl de::Error for Rejected {
    fn custom<M: fmt::Display>(_message: M) -> Self {
        Self
    }
}

impl std::error::Error for Rejected {}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rejected")
    }
}
