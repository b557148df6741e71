//! The rules of what stands between a method's parentheses: the receiver, the context, and the
//! arguments.

use proc_macro2::Ident;
use syn::{Attribute, FnArg, Pat, PatIdent, PatType, Receiver, ReceiverKind, Signature};

use super::sendable::Scope;
use super::types;
use crate::errors::Errors;
use crate::model::{Argument, Shape};

/// Arguments travel as one tuple, and serde's tuples end here.
const ARGUMENTS_MAX: usize = 16;

/// Whether the first parameter is the context, and the arguments that are sent.
pub(super) fn parse(
    signature: &Signature,
    scope: &Scope,
    errors: &mut Errors,
) -> (bool, Vec<Argument>) {
    match signature.receiver() {
        Some(found) => receiver(found, scope, errors),
        None => errors.at_span(
            signature.paren_token.span.open(),
            "a method of a service is called on a server: write `&self` as its first parameter",
        ),
    }
    let parameters: Vec<_> = signature.inputs.iter().filter_map(typed).collect();
    for parameter in &parameters {
        no_attributes(&parameter.attrs, errors);
    }
    match parameters.split_first() {
        Some((first, rest)) if types::is_context_reference(&first.ty) => {
            context_name(&first.pat, errors);
            (true, arguments(rest, scope, errors))
        }
        _ => (false, arguments(&parameters, scope, errors)),
    }
}

/// `name`, and not `mut name`, `ref name` or `name @ ..`.
pub(crate) fn is_plain(name: &PatIdent) -> bool {
    name.by_ref.is_none() && name.mutability.is_none() && name.subpat.is_none()
}

fn typed(input: &FnArg) -> Option<&PatType> {
    match input {
        FnArg::Typed(parameter) => Some(parameter),
        FnArg::Receiver(_) => None,
    }
}

fn no_attributes(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes {
        errors.at(
            attribute,
            "a parameter of a service cannot have attributes: put them on the method",
        );
    }
}

fn receiver(receiver: &Receiver, scope: &Scope, errors: &mut Errors) {
    no_attributes(&receiver.attrs, errors);
    match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => {}
        ReceiverKind::Reference(_, Some(lifetime), None) if scope.declares(lifetime) => {}
        ReceiverKind::Reference(_, _, Some(_)) => errors.at(
            receiver,
            "calls run concurrently, so a method takes `&self`: keep what changes in a `Mutex` \
             or an atomic",
        ),
        _ => errors.at(receiver, "a method of a service borrows the one server: write `&self`"),
    }
}

/// The arguments that are sent; `parameters` no longer has the context.
fn arguments(parameters: &[&PatType], scope: &Scope, errors: &mut Errors) -> Vec<Argument> {
    if let Some(excess) = parameters.get(ARGUMENTS_MAX) {
        let count = parameters.len();
        errors.at(
            excess,
            format_args!(
                "a method has at most {ARGUMENTS_MAX} arguments, and this one {count}: put them \
                 in a struct"
            ),
        );
    }
    let mut arguments: Vec<Argument> = Vec::new();
    for parameter in parameters {
        let shape = types::argument(&parameter.ty, scope, errors);
        let ident = argument_name(&parameter.pat, errors);
        let (Some(shape), Some(ident)) = (shape, ident) else {
            continue;
        };
        let argument = Argument { ident: ident.clone(), ty: (*parameter.ty).clone(), shape };
        let name = argument.name();
        if arguments.iter().any(|earlier| earlier.name() == name) {
            errors.at(ident, format_args!("two arguments are called `{name}`: rename one"));
        }
        let is_stream = |other: &Argument| matches!(other.shape, Shape::Stream(_));
        if is_stream(&argument) && arguments.iter().any(is_stream) {
            errors.at(
                ident,
                "a method takes one stream: give the items of both an enum as their type",
            );
        }
        arguments.push(argument);
    }
    arguments
}

/// The name of an argument, which is part of the signature that both processes compare.
fn argument_name<'a>(pattern: &'a Pat, errors: &mut Errors) -> Option<&'a Ident> {
    match pattern {
        Pat::Ident(name) if is_plain(name) => return Some(&name.ident),
        Pat::Ident(PatIdent { ident, subpat: None, .. }) => errors.at(
            pattern,
            format_args!("a parameter is declared by its name alone: write `{ident}`"),
        ),
        Pat::Wild(_) => {
            errors.at(pattern, "an argument needs a name, which both processes compare: write one")
        }
        _ => errors.at(
            pattern,
            "an argument cannot be a pattern: give it a name, and take it apart in the \
             implementation",
        ),
    }
    None
}

/// The context is not sent, and so needs no name.
fn context_name(pattern: &Pat, errors: &mut Errors) {
    if !matches!(pattern, Pat::Wild(_)) {
        argument_name(pattern, errors);
    }
}
