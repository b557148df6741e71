//! The bounded encoder: a serde `Serializer` that stops storing at the limit and only counts.
//!
//! Scalars and strings are written by postcard, into a sink that holds the limit, and integers in its
//! format. The containers are walked here, for two reasons: postcard drops the message of an error that a `Serialize`
//! gives, and it takes a struct with a field left out, whose reader would misread what follows.

use std::fmt;

use serde::ser::{self, Serialize};

use super::{EncodeError, varint};
use crate::wire::scratch;

/// Writes one value behind what a buffer already holds.
pub(super) struct Encoder<'a> {
    postcard: postcard::Serializer<Sink<'a>>,
}

impl<'a> Encoder<'a> {
    #[inline]
    pub(super) fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        let start = out.len();
        let end = start.saturating_add(limit);
        Self { postcard: postcard::Serializer { output: Sink { out, start, end, dropped: 0 } } }
    }

    /// The bytes of the encoding so far, stored or only counted.
    #[inline]
    pub(super) fn size(&self) -> usize {
        let sink = &self.postcard.output;
        (sink.out.len() - sink.start).saturating_add(sink.dropped)
    }

    /// Writes one scalar, `str` or byte string.
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        value.serialize(&mut self.postcard).map_err(Fault::from)
    }

    #[inline]
    fn write_byte(&mut self, byte: u8) {
        self.postcard.output.push(byte);
    }

    /// Writes an integer as postcard does.
    #[inline]
    fn write_unsigned(&mut self, value: u64) {
        let (bytes, count) = varint::encode(value);
        self.postcard.output.push_some(&bytes, count);
    }

    #[inline]
    fn write_length(&mut self, length: Option<usize>) -> Result<&mut Self, Fault> {
        let length = length.ok_or_else(unknown_length)?;
        self.write_unsigned(length as u64);
        Ok(self)
    }

    #[inline]
    fn write_variant(&mut self, number: u32) -> &mut Self {
        self.write_unsigned(number.into());
        self
    }
}

/// Where the bytes go: into `out` while it is no longer than `end`, and into nothing after that.
struct Sink<'a> {
    out: &'a mut Vec<u8>,
    /// The length of `out` before this value.
    start: usize,
    /// The longest that `out` may become.
    end: usize,
    /// Bytes counted and not stored. Once it is above zero, `out` is of no more use.
    dropped: usize,
}

impl Sink<'_> {
    #[inline]
    fn push(&mut self, byte: u8) {
        if self.out.len() < self.end {
            self.out.push(byte);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Adds the first `count` bytes. All of them are stored where there is room, and some taken away again,
    /// which is faster than to copy a number that the compiler does not know.
    #[inline]
    fn push_some<const N: usize>(&mut self, bytes: &[u8; N], count: usize) {
        let length = self.out.len();
        if N <= self.end - length {
            self.out.extend_from_slice(bytes);
            self.out.truncate(length + count);
        } else {
            self.extend(&bytes[..count]);
        }
    }

    #[inline]
    fn extend(&mut self, bytes: &[u8]) {
        if bytes.len() > self.end - self.out.len() {
            self.dropped = self.dropped.saturating_add(bytes.len());
        } else {
            scratch::reserve(self.out, bytes.len());
            self.out.extend_from_slice(bytes);
        }
    }
}

impl postcard::ser_flavors::Flavor for Sink<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.extend(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Integers of which most are small, signed ones folded so that small negative ones are, too.
macro_rules! integers {
    ($($method:ident $type:ty, |$value:ident| $unsigned:expr;)*) => {$(
        #[inline]
        fn $method(self, $value: $type) -> Result<(), Fault> {
            self.write_unsigned($unsigned);
            Ok(())
        }
    )*};
}

/// Forwards scalars to postcard.
macro_rules! scalars {
    ($($method:ident $type:ty;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), Fault> {
            self.write(&value)
        }
    )*};
}

impl ser::Serializer for &mut Encoder<'_> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    integers! {
        serialize_u16 u16, |value| value.into();
        serialize_u32 u32, |value| value.into();
        serialize_u64 u64, |value| value;
        serialize_i16 i16, |value| varint::fold(value.into());
        serialize_i32 i32, |value| varint::fold(value.into());
        serialize_i64 i64, |value| varint::fold(value);
    }

    scalars! {
        serialize_bool bool;
        serialize_i8 i8;
        serialize_i128 i128;
        serialize_u8 u8;
        serialize_u128 u128;
        serialize_f32 f32;
        serialize_f64 f64;
        serialize_char char;
        serialize_str &str;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Fault> {
        ser::Serializer::serialize_bytes(&mut self.postcard, value).map_err(Fault::from)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Fault> {
        ser::Serializer::collect_str(&mut self.postcard, value).map_err(Fault::from)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Fault> {
        self.write_byte(0);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        self.write_byte(1);
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Fault> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Fault> {
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        number: u32,
        _variant: &'static str,
    ) -> Result<(), Fault> {
        self.write_variant(number);
        Ok(())
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        number: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self.write_variant(number))
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Fault> {
        self.write_length(len)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self, Fault> {
        self.write_length(len)
    }

    #[inline]
    fn serialize_tuple(self, _len: usize) -> Result<Self, Fault> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Self, Fault> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Self, Fault> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        number: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self, Fault> {
        Ok(self.write_variant(number))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        number: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self, Fault> {
        Ok(self.write_variant(number))
    }
}

/// The parts of a container follow one another, with nothing between and nothing after.
macro_rules! containers {
    ($($container:ident $method:ident;)*) => {$(
        impl ser::$container for &mut Encoder<'_> {
            type Ok = ();
            type Error = Fault;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        }
    )*};
}

containers! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! named_containers {
    ($($container:ident;)*) => {$(
        impl ser::$container for &mut Encoder<'_> {
            type Ok = ();
            type Error = Fault;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _name: &'static str,
                value: &T,
            ) -> Result<(), Fault> {
                value.serialize(&mut **self)
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), Fault> {
                Err(skipped_field(name))
            }

            #[inline]
            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        }
    )*};
}

named_containers! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for &mut Encoder<'_> {
    type Ok = ();
    type Error = Fault;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        key.serialize(&mut **self)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        value.serialize(&mut **self)
    }

    #[inline]
    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

/// A boxed [`EncodeError`]: one word, so that results travel in a register.
#[derive(Debug)]
pub(super) struct Fault(Box<EncodeError>);

impl From<Fault> for EncodeError {
    fn from(fault: Fault) -> Self {
        *fault.0
    }
}

impl From<postcard::Error> for Fault {
    #[cold]
    fn from(error: postcard::Error) -> Self {
        ser::Error::custom(error)
    }
}

impl ser::Error for Fault {
    #[cold]
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self(Box::new(EncodeError::Unsupported(message.to_string())))
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cold]
fn unknown_length() -> Fault {
    ser::Error::custom("a sequence or map does not know its length beforehand")
}

#[cold]
fn skipped_field(name: &'static str) -> Fault {
    ser::Error::custom(format_args!(
        "field `{name}` is left out, but fields are found by position (skip_serializing_if?)"
    ))
}
