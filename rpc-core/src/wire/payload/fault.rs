//! The decoder's internal error, and the words of every refusal that is not a limit.

use std::fmt;

use serde::de;

use super::DecodeError;

/// A boxed [`DecodeError`]: one word, so that results travel in registers.
pub(super) struct Fault(Box<DecodeError>);

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        *fault.0
    }
}

impl From<DecodeError> for Fault {
    #[cold]
    fn from(error: DecodeError) -> Self {
        Self(Box::new(error))
    }
}

impl From<postcard::Error> for Fault {
    #[cold]
    fn from(error: postcard::Error) -> Self {
        let error = match error {
            postcard::Error::DeserializeUnexpectedEnd => DecodeError::Truncated,
            postcard::Error::DeserializeBadVarint => {
                invalid("an integer is too large for its type")
            }
            postcard::Error::DeserializeBadBool => invalid("a bool is neither 0 nor 1"),
            other => DecodeError::Invalid(other.to_string()),
        };
        error.into()
    }
}

impl de::Error for Fault {
    #[cold]
    fn custom<M: fmt::Display>(message: M) -> Self {
        DecodeError::Invalid(message.to_string()).into()
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn invalid(message: &str) -> DecodeError {
    DecodeError::Invalid(message.to_owned())
}

#[cold]
pub(super) fn truncated() -> Fault {
    DecodeError::Truncated.into()
}

#[cold]
pub(super) fn invalid_utf8(error: std::str::Utf8Error) -> Fault {
    DecodeError::Invalid(format!("a string is not UTF-8: {error}")).into()
}

#[cold]
pub(super) fn invalid_char() -> Fault {
    invalid("a char is not one character").into()
}

#[cold]
pub(super) fn invalid_option(tag: u8) -> Fault {
    DecodeError::Invalid(format!("an option starts with {tag}, neither 0 nor 1")).into()
}

#[cold]
pub(super) fn unsupported<T>() -> Fault {
    DecodeError::Unsupported { type_name: std::any::type_name::<T>() }.into()
}
