//! The shape in which a type is sent.
//!
//! Types are recognised by how they are written, since a macro sees no more: `Vec<u8>` is a string of
//! bytes wherever `Vec` comes from. An alias is taken as it stands, and serde decides whether it can
//! be sent.

use syn::{GenericArgument, PathArguments, PathSegment, Type, TypeParamBound, TypePath};

use super::sendable::{self, Direction, Scope};
use crate::errors::Errors;
use crate::model::{Bytes, Outcome, Payload, Shape};

/// The shape of an argument, or `None` having reported why it cannot be sent.
pub(super) fn argument(ty: &Type, scope: &Scope, errors: &mut Errors) -> Option<Shape> {
    if is_context(ty) || is_context_reference(ty) {
        errors.at(
            ty,
            "the context of a call is not sent: write `cx: &Context` as the first parameter \
             after `&self` (a type of your own called `Context` needs another name here)",
        );
        return None;
    }
    if let Some(item) = stream_item(ty) {
        sendable::check(item, Direction::Item, scope, errors)?;
        return Some(Shape::Stream(payload(item)));
    }
    sendable::check(ty, Direction::Argument, scope, errors)?;
    let shape = match plain(ty) {
        Type::Reference(reference) => borrowed(&reference.elem),
        other => owned(other),
    };
    Some(shape)
}

/// The outcome of a method that returns `ty`, or `None` having reported why it cannot be sent.
pub(super) fn outcome(ty: &Type, scope: &Scope, errors: &mut Errors) -> Option<Outcome> {
    if let Some(item) = stream_item(ty) {
        sendable::check(item, Direction::Item, scope, errors)?;
        let (value, error) = fallible(item, errors)?;
        return Some(Outcome::Stream(payload(value), error));
    }
    sendable::check(ty, Direction::Result, scope, errors)?;
    let ty = plain(ty);
    if matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty()) {
        return Some(Outcome::Unit);
    }
    Some(match fallible(ty, errors)? {
        (value, None) => Outcome::Value(payload(value)),
        (value, Some(error)) => Outcome::Fallible(payload(value), error),
    })
}

/// The value and the error of a `Result`, or the value that another type is.
fn fallible<'a>(ty: &'a Type, errors: &mut Errors) -> Option<(&'a Type, Option<Box<Type>>)> {
    let Some(segment) = last_segment(ty).filter(|segment| segment.ident == "Result") else {
        return Some((ty, None));
    };
    let Some([value, error]) = type_arguments(segment) else {
        errors.at(
            ty,
            "an alias of `Result` hides the error, which travels too: write `Result<T, E>` with \
             both types",
        );
        return None;
    };
    Some((value, Some(Box::new(error.clone()))))
}

/// `T` of `impl Stream<Item = T>`, under any path, and with nothing else.
pub(crate) fn stream_item(ty: &Type) -> Option<&Type> {
    let Type::ImplTrait(stream) = plain(ty) else { return None };
    let mut bounds = stream.bounds.iter();
    let (Some(TypeParamBound::Trait(bound)), None) = (bounds.next(), bounds.next()) else {
        return None;
    };
    let segment = bound.path.segments.last().filter(|segment| segment.ident == "Stream")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    let mut arguments = arguments.args.iter();
    match (arguments.next(), arguments.next()) {
        (Some(GenericArgument::AssocType(item)), None) if item.ident == "Item" => Some(&item.ty),
        _ => None,
    }
}

/// Whether this is `&Context`, under any path.
pub(super) fn is_context_reference(ty: &Type) -> bool {
    let Type::Reference(reference) = plain(ty) else {
        return false;
    };
    reference.mutability.is_none() && is_context(&reference.elem)
}

fn is_context(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == "Context")
}

fn borrowed(ty: &Type) -> Shape {
    match plain(ty) {
        Type::Slice(slice) if is_named(&slice.elem, "u8") => Shape::Bytes,
        Type::Slice(slice) => Shape::Slice((*slice.elem).clone()),
        ty if is_borrowed_by_serde(ty) => Shape::Plain,
        ty => Shape::Reference(ty.clone()),
    }
}

fn owned(ty: &Type) -> Shape {
    let Some(segment) = last_segment(ty) else {
        return Shape::Plain;
    };
    if segment.ident == "Option"
        && let Some([inner]) = type_arguments(segment)
    {
        return option(inner);
    }
    if is_byte_vec(ty) {
        return Shape::ByteBuf;
    }
    if segment.ident == "Cow" {
        return cow(segment);
    }
    Shape::Plain
}

fn option(inner: &Type) -> Shape {
    match plain(inner) {
        Type::Reference(reference) => match borrowed(&reference.elem) {
            Shape::Bytes => Shape::OptionBytes,
            Shape::Slice(item) => Shape::OptionSlice(item),
            Shape::Reference(target) => Shape::OptionReference(target),
            other => other,
        },
        inner if is_byte_vec(inner) => Shape::OptionByteBuf,
        _ => Shape::Plain,
    }
}

/// `Cow<'_, str>` and `Cow<'_, [u8]>`; one for `'static` is serde's own, which is always owned.
fn cow(segment: &PathSegment) -> Shape {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Shape::Plain;
    };
    let mut arguments = arguments.args.iter().filter(|argument| !is_elided(argument));
    let (Some(GenericArgument::Type(ty)), None) = (arguments.next(), arguments.next()) else {
        return Shape::Plain;
    };
    match plain(ty) {
        Type::Slice(slice) if is_named(&slice.elem, "u8") => Shape::CowBytes,
        ty if is_named(ty, "str") => Shape::CowStr,
        _ => Shape::Plain,
    }
}

fn is_elided(argument: &GenericArgument) -> bool {
    matches!(argument, GenericArgument::Lifetime(lifetime) if lifetime.ident == "_")
}

fn payload(ty: &Type) -> Payload {
    let inner =
        last_segment(ty).filter(|segment| segment.ident == "Option").and_then(type_arguments);
    let bytes = match inner {
        Some([inner]) if is_byte_vec(inner) => Bytes::OptionVec,
        _ if is_byte_vec(ty) => Bytes::Vec,
        _ => Bytes::No,
    };
    Payload { ty: Box::new(ty.clone()), bytes }
}

/// `str`, and the standard library's `Path` by its usual names, which serde borrows from its input.
fn is_borrowed_by_serde(ty: &Type) -> bool {
    let Type::Path(TypePath { qself: None, path, .. }) = ty else {
        return false;
    };
    let mut segments = path.segments.iter().rev();
    let is_path =
        segments.next().is_some_and(|last| last.ident == "Path" && last.arguments.is_none())
            && segments.next().is_none_or(|parent| parent.ident == "path");
    is_path || is_named(ty, "str")
}

fn is_byte_vec(ty: &Type) -> bool {
    let vec = last_segment(ty).filter(|segment| segment.ident == "Vec");
    matches!(vec.and_then(type_arguments), Some([item]) if is_named(item, "u8"))
}

/// A type without the parentheses, or the invisible group of a `macro_rules!` fragment, around it.
pub(crate) fn plain(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => plain(&inner.elem),
        Type::Group(inner) => plain(&inner.elem),
        other => other,
    }
}

pub(super) fn is_named(ty: &Type, name: &str) -> bool {
    matches!(plain(ty), Type::Path(TypePath { qself: None, path, .. }) if path.is_ident(name))
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match plain(ty) {
        Type::Path(TypePath { qself: None, path, .. }) => path.segments.last(),
        _ => None,
    }
}

/// The `N` types between the angle brackets, if there is nothing else.
fn type_arguments<const N: usize>(segment: &PathSegment) -> Option<[&Type; N]> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect::<Option<Vec<_>>>()?.try_into().ok()
}
