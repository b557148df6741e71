//! The bounded decoder: a serde `Deserializer` that charges a budget as it goes.
//!
//! Scalars are read by postcard, integers in its format. Lengths and containers pass through here, and each is paid for
//! before anything is allocated or entered: an element count against what the payload can hold,
//! memory against the limit, one level of depth per container.
//! A budget that ran out stays empty, so that a type which swallows the error gets no further.

use std::mem::size_of;

use serde::de::{self, Deserialize, Visitor};

use super::access::{Elements, Fields};
use super::fault::{self, Fault};
use super::{DecodeError, DecodeLimits, FREE_ELEMENTS, varint};

/// The bytes not yet read, and what may still be spent on them.
pub(super) struct Decoder<'de> {
    rest: &'de [u8],
    /// A byte string without its length; only what begins by reading one gets it.
    lone: Option<&'de [u8]>,
    depth_left: u32,
    memory_left: usize,
    elements_left: usize,
    limits: DecodeLimits,
    elements_limit: usize,
}

impl<'de> Decoder<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8], limits: &DecodeLimits) -> Self {
        let elements_limit = bytes.len().saturating_add(FREE_ELEMENTS);
        Self {
            rest: bytes,
            lone: None,
            depth_left: limits.depth,
            memory_left: limits.memory,
            elements_left: elements_limit,
            limits: *limits,
            elements_limit,
        }
    }

    /// For a payload that is a length, which is left out, and these bytes.
    pub(super) fn lone(bytes: &'de [u8], limits: &DecodeLimits) -> Self {
        Self { rest: &[], lone: Some(bytes), ..Self::new(bytes, limits) }
    }

    /// The bytes not yet read.
    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.rest.len() + self.lone.map_or(0, <[u8]>::len)
    }

    /// Reads one scalar.
    #[inline]
    fn read<T: Deserialize<'de>>(&mut self) -> Result<T, Fault> {
        let (value, rest) = postcard::take_from_bytes(self.rest)?;
        self.rest = rest;
        Ok(value)
    }

    /// Reads an unsigned integer.
    #[inline]
    pub(super) fn read_unsigned<T>(&mut self) -> Result<T, Fault>
    where
        T: Deserialize<'de> + TryFrom<u64>,
    {
        if let Some((value, count)) = varint::decode(self.rest, varint::longest::<T>())
            && let Ok(value) = T::try_from(value)
        {
            self.rest = &self.rest[count..];
            return Ok(value);
        }
        // What is wrong is postcard's to say.
        self.read()
    }

    /// Reads a signed integer.
    #[inline]
    fn read_signed<T>(&mut self) -> Result<T, Fault>
    where
        T: Deserialize<'de> + TryFrom<i64>,
    {
        if let Some((value, count)) = varint::decode(self.rest, varint::longest::<T>())
            && let Ok(value) = T::try_from(varint::unfold(value))
        {
            self.rest = &self.rest[count..];
            return Ok(value);
        }
        self.read()
    }

    #[inline]
    fn read_byte(&mut self) -> Result<u8, Fault> {
        let (byte, rest) = self.rest.split_first().ok_or_else(fault::truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    /// Reads a length and that many bytes, which stay where they are.
    #[inline]
    fn read_bytes(&mut self) -> Result<&'de [u8], Fault> {
        if let Some(bytes) = self.lone.take() {
            return Ok(bytes);
        }
        let length = self.read_unsigned::<usize>()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(fault::truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads a character; postcard would take a longer string and drop what follows.
    fn read_char(&mut self) -> Result<char, Fault> {
        let mut characters = self.read_str()?.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(fault::invalid_char()),
        }
    }

    #[inline]
    fn read_str(&mut self) -> Result<&'de str, Fault> {
        std::str::from_utf8(self.read_bytes()?).map_err(fault::invalid_utf8)
    }

    /// Reads a length and pays for that many elements.
    #[inline]
    fn read_length(&mut self) -> Result<usize, Fault> {
        let length = self.read_unsigned::<usize>()?;
        match self.elements_left.checked_sub(length) {
            Some(left) => self.elements_left = left,
            None => return Err(self.too_many_elements(length)),
        }
        Ok(length)
    }

    #[inline]
    pub(super) fn spend_memory(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.memory_left.checked_sub(bytes) {
            Some(left) => self.memory_left = left,
            None => return Err(self.too_much_memory(bytes)),
        }
        Ok(())
    }

    /// Runs `body` one level deeper, for a container that yields a `T`.
    ///
    /// The size of `T` is paid for here because it may well be on its way into a box.
    #[inline]
    fn nest<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.spend_memory(size_of::<T>())?;
        match self.depth_left.checked_sub(1) {
            Some(left) => self.depth_left = left,
            None => return Err(self.too_deep()),
        }
        let value = body(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    #[inline]
    fn sequence<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value, Fault> {
        self.nest(|decoder| visitor.visit_seq(Elements { decoder, left }))
    }

    /// Fields are fixed in number by the type, so that they cost nothing beyond their container.
    #[inline]
    fn fields<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value, Fault> {
        self.nest(|decoder| visitor.visit_seq(Fields { decoder, left }))
    }

    #[cold]
    fn too_deep(&self) -> Fault {
        DecodeError::TooDeep { limit: self.limits.depth }.into()
    }

    #[cold]
    fn too_much_memory(&mut self, more: usize) -> Fault {
        let limit = self.limits.memory;
        let needed = (limit - self.memory_left).saturating_add(more);
        self.memory_left = 0;
        DecodeError::TooMuchMemory { limit, needed }.into()
    }

    #[cold]
    fn too_many_elements(&mut self, more: usize) -> Fault {
        let limit = self.elements_limit;
        let actual = (limit - self.elements_left).saturating_add(more);
        self.elements_left = 0;
        DecodeError::TooManyElements { limit, actual }.into()
    }
}

/// Forwards scalars: postcard reads them, the visitor sees our error type.
macro_rules! scalars {
    ($($method:ident $read:ident $visit:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.$visit(self.$read()?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Decoder<'de> {
    type Error = Fault;

    scalars! {
        deserialize_bool read visit_bool;
        deserialize_i8 read visit_i8;
        deserialize_i16 read_signed visit_i16;
        deserialize_i32 read_signed visit_i32;
        deserialize_i64 read_signed visit_i64;
        deserialize_i128 read visit_i128;
        deserialize_u8 read_byte visit_u8;
        deserialize_u16 read_unsigned visit_u16;
        deserialize_u32 read_unsigned visit_u32;
        deserialize_u64 read_unsigned visit_u64;
        deserialize_u128 read visit_u128;
        deserialize_f32 read visit_f32;
        deserialize_f64 read visit_f64;
        deserialize_char read_char visit_char;
        // What is borrowed takes no memory; what is copied after all is no longer than the payload.
        deserialize_str read_str visit_borrowed_str;
        deserialize_bytes read_bytes visit_borrowed_bytes;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.read_str()?;
        self.spend_memory(text.len())?;
        visitor.visit_borrowed_str(text)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let bytes = self.read_bytes()?;
        self.spend_memory(bytes.len())?;
        visitor.visit_borrowed_bytes(bytes)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.read_byte()? {
            0 => visitor.visit_none(),
            1 => self.nest(|decoder| visitor.visit_some(decoder)),
            tag => Err(fault::invalid_option(tag)),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.nest(|decoder| visitor.visit_newtype_struct(decoder))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let length = self.read_length()?;
        self.sequence(length, visitor)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.fields(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.fields(len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let left = self.read_length()?;
        self.nest(|decoder| visitor.visit_map(Elements { decoder, left }))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.fields(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.nest(|decoder| visitor.visit_enum(decoder))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(fault::unsupported::<V::Value>())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(fault::unsupported::<V::Value>())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(fault::unsupported::<V::Value>())
    }
}
