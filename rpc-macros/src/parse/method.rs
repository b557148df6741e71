//! The rules of one method: its signature, its options, and how the two fit.
//!
//! Its parameters are asked of `parameters`, and what may be sent, and how, of `types`.

use proc_macro2::Ident;
use syn::ext::IdentExt as _;
use syn::{GenericParam, Generics, ItemTrait, ReturnType, Safety, Signature, TraitItemFn, Type};

use super::options::MethodOptions;
use super::sendable::Scope;
use super::{forward, parameters, types};
use crate::errors::Errors;
use crate::model::{Argument, Execution, Method, Outcome, Shape};

/// Names that the generated clients have already; `clone` would hide `Clone::clone`.
const RESERVED: [&str; 9] = [
    "clone",
    "client",
    "connect",
    "connect_with",
    "from_client",
    "with_cancel_token",
    "with_deadline",
    "with_metadata",
    "with_options",
];

/// The method at `index`, or `None` having reported what is wrong with it.
pub(crate) fn parse(
    index: usize,
    function: &TraitItemFn,
    item: &ItemTrait,
    errors: &mut Errors,
) -> Option<Method> {
    let before = errors.count();
    let signature = &function.sig;
    let options = MethodOptions::parse(&function.attrs, errors);
    name(&signature.ident, &item.ident, errors);
    modifiers(signature, errors);
    generics(&signature.generics, errors);

    let scope = Scope::new(&item.generics, &signature.generics);
    let (context, arguments) = parameters::parse(signature, &scope, errors);
    let outcome = outcome(signature, &options, &scope, errors);
    let execution = execution(signature, &options, outcome.as_ref(), errors);
    combinations(&options, errors);
    if let Some(stream) = stream(signature, &arguments, outcome.as_ref()) {
        streams(stream, &options, outcome.as_ref(), errors);
    }

    let method = Method {
        index: u16::try_from(index).ok()?,
        ident: signature.ident.clone(),
        cfg: forward::cfg(&function.attrs),
        attributes: forward::for_method(&function.attrs),
        execution,
        context,
        arguments,
        outcome: outcome?,
        idempotent: options.idempotent.is_some(),
        no_cancel: options.no_cancel.is_some(),
        deadline: options.deadline.map(|(_, nanos)| nanos),
    };
    (errors.count() == before).then_some(method)
}

fn name(ident: &Ident, service: &Ident, errors: &mut Errors) {
    let name = ident.unraw().to_string();
    if RESERVED.contains(&name.as_str()) {
        let client = service.unraw();
        errors.at(
            ident,
            format_args!(
                "`{name}` is a method of the generated `{client}Client`: choose another name"
            ),
        );
    }
}

fn modifiers(signature: &Signature, errors: &mut Errors) {
    if let Some(token) = &signature.constness {
        errors.at(
            token,
            "a method of a service cannot be `const`, as it runs in another process: remove it",
        );
    }
    if let Safety::Unsafe(token) = &signature.safety {
        errors.at(
            token,
            "a method of a service cannot be `unsafe`, as any process may call it: remove it",
        );
    }
    if let Some(abi) = &signature.abi {
        errors.at(abi, "a method of a service has no ABI of its own: remove `extern`");
    }
    if let Some(variadic) = &signature.variadic {
        errors
            .at(variadic, "a method of a service takes a fixed number of arguments: write a `Vec`");
    }
}

fn generics(generics: &Generics, errors: &mut Errors) {
    if generics.params.iter().any(|param| !matches!(param, GenericParam::Lifetime(_))) {
        errors.at(
            generics,
            "a method of a service cannot be generic, as the other process must know each type: \
             write one method for each type, or an enum",
        );
    } else if !generics.params.is_empty() {
        errors.at(
            generics,
            "a method of a service cannot name lifetimes, as an argument lives as long as the \
             call: leave them out, as in `&str`",
        );
    }
    if let Some(clause) = &generics.where_clause {
        errors.at(clause, "a method of a service cannot have a `where` clause: remove it");
    }
}

fn outcome(
    signature: &Signature,
    options: &MethodOptions,
    scope: &Scope,
    errors: &mut Errors,
) -> Option<Outcome> {
    let outcome = match &signature.output {
        ReturnType::Default => Some(Outcome::Unit),
        ReturnType::Type(_, ty) => types::outcome(ty, scope, errors),
    };
    match (&options.oneway, &signature.output, outcome) {
        (None, _, outcome) => outcome,
        (Some(_), _, Some(Outcome::Unit)) => Some(Outcome::Oneway),
        (Some(_), output, _) => {
            errors.at(
                output,
                "a `oneway` method has no reply: remove its result, or remove `oneway`",
            );
            None
        }
    }
}

fn execution(
    signature: &Signature,
    options: &MethodOptions,
    outcome: Option<&Outcome>,
    errors: &mut Errors,
) -> Execution {
    match (&signature.asyncness, options.inline) {
        (Some(_), None) => Execution::Future,
        (None, None) if matches!(outcome, Some(Outcome::Stream(..))) => Execution::Stream,
        (None, None) => Execution::Blocking,
        (None, Some(_)) => Execution::Inline,
        (Some(_), Some(inline)) => {
            errors.at_span(
                inline,
                "an `async fn` is polled where its request was read already: remove `inline`, or \
                 write a plain `fn`",
            );
            Execution::Future
        }
    }
}

/// Where the first stream of a method stands.
fn stream<'a>(
    signature: &'a Signature,
    arguments: &'a [Argument],
    outcome: Option<&Outcome>,
) -> Option<&'a Type> {
    let argument = arguments.iter().find(|other| matches!(other.shape, Shape::Stream(_)));
    match (argument, outcome, &signature.output) {
        (Some(argument), _, _) => Some(&argument.ty),
        (None, Some(Outcome::Stream(..)), ReturnType::Type(_, ty)) => Some(ty),
        _ => None,
    }
}

/// What a method with a stream cannot be.
fn streams(stream: &Type, options: &MethodOptions, outcome: Option<&Outcome>, errors: &mut Errors) {
    if options.inline.is_some() {
        errors.at(stream, "an `inline` method has ended before a stream could: remove `inline`");
    }
    if options.oneway.is_some() {
        errors.at(stream, "the end of a stream has to be told: remove `oneway`");
    }
    if options.no_cancel.is_some() && matches!(outcome, Some(Outcome::Stream(..))) {
        errors.at(
            stream,
            "a stream that nobody reads any more has to be cancelled: remove `no_cancel`",
        );
    }
}

fn combinations(options: &MethodOptions, errors: &mut Errors) {
    if let (Some(no_cancel), Some(_)) = (options.no_cancel, options.inline) {
        errors.at_span(
            no_cancel,
            "an `inline` method has ended before it could be cancelled: remove `no_cancel`, or \
             `inline`",
        );
    }
    if options.oneway.is_none() {
        return;
    }
    if let Some((deadline, _)) = options.deadline {
        errors.at_span(
            deadline,
            "a `oneway` method has no reply to wait for: remove `deadline`, or `oneway`",
        );
    }
    if let Some(no_cancel) = options.no_cancel {
        errors.at_span(
            no_cancel,
            "a `oneway` method is never cancelled: remove `no_cancel`, or `oneway`",
        );
    }
    if let Some(idempotent) = options.idempotent {
        errors.at_span(
            idempotent,
            "a `oneway` method has no reply to lose: remove `idempotent`, or `oneway`",
        );
    }
}
