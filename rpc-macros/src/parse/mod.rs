//! Every rule of a service trait, with its message and its span.
//!
//! `options` reads the keys, `method` the signatures, `types` what can be sent, `forward` the
//! attributes that are repeated. All of them report to `Errors` and go on; what they return is what
//! passed.

mod duration;
mod forward;
mod method;
mod options;
mod parameters;
mod sendable;
mod types;

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use syn::ext::IdentExt as _;
use syn::{Item, ItemTrait, TraitItem, TraitItemFn};

pub(crate) use self::options::{ServiceOptions, is_ipc};
pub(crate) use self::parameters::is_plain;
pub(crate) use self::types::{plain, stream_item};
use crate::errors::Errors;
use crate::model::{Method, Service};

/// Method indices are `u16`, and one number is kept free.
const METHODS_MAX: usize = 65_535;

/// The trait below `#[ipc_service]`, or the error of everything else.
pub(crate) fn item(tokens: TokenStream) -> syn::Result<ItemTrait> {
    match syn::parse2(tokens)? {
        Item::Trait(item) => Ok(item),
        other => Err(syn::Error::new_spanned(
            other,
            "`#[ipc_service]` describes a service by its methods: put it on a `trait`",
        )),
    }
}

/// The service that `item` describes, without the methods that break a rule.
pub(crate) fn service(item: &ItemTrait, name: Option<String>, errors: &mut Errors) -> Service {
    head(item, errors);
    let functions = members(item, errors);
    if let Some(excess) = functions.get(METHODS_MAX) {
        let count = functions.len();
        errors.at(
            &excess.sig.ident,
            format_args!(
                "a service has at most {METHODS_MAX} methods, and this one {count}: split the \
                 trait"
            ),
        );
    }
    let parsed: Vec<Option<Method>> = (0..)
        .zip(&functions)
        .map(|(index, function)| method::parse(index, function, item, errors))
        .collect();
    let generic = !item.generics.params.is_empty();
    Service {
        vis: item.vis.clone(),
        ident: item.ident.clone(),
        name: name.unwrap_or_else(|| item.ident.unraw().to_string()),
        cfg: forward::cfg(&item.attrs),
        attributes: forward::for_type(&item.attrs),
        generic,
        methods: parsed.into_iter().flatten().filter(|_| !generic).collect(),
    }
}

/// The rules of what stands before the braces.
fn head(item: &ItemTrait, errors: &mut Errors) {
    for attribute in item.attrs.iter().filter(|attribute| is_ipc(attribute)) {
        errors
            .at(attribute, "`#[ipc(..)]` belongs on a method: the trait has `#[ipc_service(..)]`");
    }
    if let Some(token) = &item.unsafety {
        errors.at(
            token,
            "a service trait cannot be `unsafe`: calling another process is safe, remove it",
        );
    }
    if let Some(token) = &item.modifiers.auto_token {
        errors
            .at(token, "a service trait cannot be `auto`: it has methods to implement, remove it");
    }
    if !item.generics.params.is_empty() {
        errors.at(
            &item.generics,
            "a service trait cannot be generic, as the other process must know each type: write \
             one trait for each set of types",
        );
    }
    if let Some(clause) = &item.generics.where_clause {
        errors.at(
            clause,
            "a service trait cannot have a `where` clause: write bounds on `Self` as supertraits",
        );
    }
}

/// The methods; anything else in the braces is an error.
fn members<'a>(item: &'a ItemTrait, errors: &mut Errors) -> Vec<&'a TraitItemFn> {
    let mut functions = Vec::new();
    for member in &item.items {
        match member {
            TraitItem::Fn(function) => functions.push(function),
            TraitItem::Const(constant) => errors.at(
                constant,
                "a service trait cannot have constants: write it outside, or make it a method \
                 without arguments",
            ),
            TraitItem::Type(associated) => errors.at(
                associated,
                "a service trait cannot have associated types, as the other process must know \
                 each type: name the concrete type in the methods",
            ),
            TraitItem::Macro(call) => errors.at(
                call,
                "a macro call in a service trait cannot be looked into: write the methods \
                 themselves",
            ),
            other => errors.at(
                other,
                "this cannot stand in a service trait: write `fn` or `async fn` methods only",
            ),
        }
    }
    functions
}
