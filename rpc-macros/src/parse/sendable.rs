//! What cannot be sent to another process, wherever it stands in a type.
//!
//! Only what is sure to fail is reported here, in the words of this crate. Whether serde can send a
//! type of the user's is for the compiler to say.

use syn::visit::{self, Visit};
use syn::{Expr, GenericParam, Generics, Lifetime, Path, Type, TypeReference};

use super::types::{is_named, plain};
use crate::errors::Errors;

/// The lifetimes that trait or method declare: that is one error already, and not one for each use.
pub(super) struct Scope(Vec<Lifetime>);

impl Scope {
    pub(super) fn new(of_trait: &Generics, of_method: &Generics) -> Self {
        let params = of_trait.params.iter().chain(&of_method.params);
        let lifetimes = params.filter_map(|param| match param {
            GenericParam::Lifetime(param) => Some(param.lifetime.clone()),
            _ => None,
        });
        Self(lifetimes.collect())
    }

    pub(super) fn declares(&self, lifetime: &Lifetime) -> bool {
        self.0.contains(lifetime)
    }
}

/// The way that a type goes: an argument may borrow from its request, a result from nothing, nor an item of
/// a stream.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Direction {
    Argument,
    Result,
    Item,
}

/// Reports every part of `ty` that cannot be sent; `None` if there is any.
pub(super) fn check(
    ty: &Type,
    direction: Direction,
    scope: &Scope,
    errors: &mut Errors,
) -> Option<()> {
    let before = errors.count();
    match plain(ty) {
        Type::Slice(slice) => errors.at(slice, "a slice has no size: write `Vec<T>`"),
        ty if is_named(ty, "str") => errors.at(ty, "`str` has no size: write `String`"),
        _ => Sendable { direction, scope, errors }.visit_type(ty),
    }
    (errors.count() == before).then_some(())
}

/// Looks for what cannot be sent; does not look into what it has reported.
struct Sendable<'a> {
    direction: Direction,
    scope: &'a Scope,
    errors: &'a mut Errors,
}

impl<'ast> Visit<'ast> for Sendable<'_> {
    fn visit_type(&mut self, ty: &'ast Type) {
        let message = match ty {
            Type::ImplTrait(_) => {
                "`impl Trait` cannot be sent, but for `impl Stream<Item = T>` as an argument or as \
                 the result: write a concrete type, `Vec<T>` for a sequence"
            }
            Type::TraitObject(_) => {
                "`dyn Trait` cannot be sent: write a concrete type, or an enum, or \
                 `impl Stream<Item = T>` for a stream"
            }
            Type::Ptr(_) => "a pointer means nothing in another process: send what it points to",
            Type::FnPtr(_) => "a function cannot be sent: send the data that it would work on",
            Type::Never(_) => "`!` cannot be sent: write `()`",
            Type::Verbatim(_) => "this type cannot be sent: write a concrete type",
            _ => return visit::visit_type(self, ty),
        };
        self.errors.at(ty, message);
    }

    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        let lifetime = reference.lifetime.as_ref();
        let message = if self.direction == Direction::Item {
            "an item of a stream cannot borrow, as it goes to another process: write an owned \
             type, such as `String` for `&str`"
        } else if self.direction == Direction::Result {
            "a result cannot borrow, as it goes to another process: write an owned type, such as \
             `String` for `&str`"
        } else if reference.mutability.is_some() {
            "an argument cannot be `&mut`, as the server has a copy: take it by value and return \
             what changed"
        } else if lifetime.is_some_and(|lifetime| lifetime.ident == "static") {
            "an argument lives as long as the call, not for `'static`: leave the lifetime out, \
             as in `&str`"
        } else {
            return visit::visit_type_reference(self, reference);
        };
        self.errors.at(reference, message);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident == "static" || self.scope.declares(lifetime) {
            return;
        }
        match self.direction {
            Direction::Argument if lifetime.ident == "_" => {}
            Direction::Argument => self.errors.at(
                lifetime,
                "a method of a service cannot name lifetimes, as an argument lives as long as \
                 the call: leave it out, or write `'_`",
            ),
            Direction::Item => self.errors.at(
                lifetime,
                "an item of a stream cannot borrow, as it goes to another process: write an owned \
                 type",
            ),
            Direction::Result => self.errors.at(
                lifetime,
                "a result cannot borrow, as it goes to another process: write an owned type",
            ),
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.segments.first().is_some_and(|segment| segment.ident == "Self") {
            let message = "`Self` is unknown to the other process: name the concrete type";
            self.errors.at(path, message);
        } else {
            visit::visit_path(self, path);
        }
    }

    /// The length of an array is the compiler's affair.
    fn visit_expr(&mut self, _length: &'ast Expr) {}
}
