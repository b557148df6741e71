//! The keys of `#[ipc_service(..)]` on the trait and of `#[ipc(..)]` on a method.
//!
//! What each key allows beside the others is a rule of the method, and stands in `method`.

use proc_macro2::{Span, TokenStream};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Path, Token};

use super::{duration, forward};
use crate::errors::Errors;

const SERVICE_KEYS: &str = "the keys are `crate = \"path\"` and `name = \"..\"`";
const METHOD_KEYS: &str =
    "the keys are `inline`, `oneway`, `idempotent`, `no_cancel` and `deadline = \"5s\"`";

/// `#[ipc_service(crate = "..", name = "..")]`.
#[derive(Default)]
pub(crate) struct ServiceOptions {
    pub(crate) root: Option<Path>,
    pub(crate) name: Option<String>,
}

impl ServiceOptions {
    pub(crate) fn parse(attribute: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let entries = entries(attribute, SERVICE_KEYS, errors);
        let mut seen = Seen::default();
        for entry in &entries {
            seen.note(entry, errors);
            if entry.path().is_ident("crate") {
                let root = string(entry, "crate = \"path::to::ipcall\"", errors);
                options.root = root.and_then(|root| path(&root, errors)).or(options.root);
            } else if entry.path().is_ident("name") {
                let name = string(entry, "name = \"WordCount\"", errors);
                options.name = name.and_then(|name| not_empty(&name, errors)).or(options.name);
            } else {
                errors.at(entry.path(), format_args!("unknown key: {SERVICE_KEYS}"));
            }
        }
        options
    }
}

/// All `#[ipc(..)]` of one method. Each key keeps its span, for rules about two keys together.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub(crate) inline: Option<Span>,
    pub(crate) oneway: Option<Span>,
    pub(crate) idempotent: Option<Span>,
    pub(crate) no_cancel: Option<Span>,
    /// Nanoseconds.
    pub(crate) deadline: Option<(Span, u64)>,
}

impl MethodOptions {
    pub(crate) fn parse(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let mut seen = Seen::default();
        for attribute in forward::conditional_ipc(attributes) {
            errors.at(
                attribute,
                "`#[ipc(..)]` is read before `#[cfg_attr]`: write the method twice, each with its \
                 `#[cfg]`",
            );
        }
        for attribute in attributes.iter().filter(|attribute| is_ipc(attribute)) {
            let Meta::List(list) = &attribute.meta else {
                errors.at(
                    attribute,
                    format_args!("`#[ipc(..)]` needs a key in parentheses: {METHOD_KEYS}"),
                );
                continue;
            };
            if list.tokens.is_empty() {
                errors.at(attribute, format_args!("`#[ipc()]` says nothing: {METHOD_KEYS}"));
            }
            for entry in &entries(list.tokens.clone(), METHOD_KEYS, errors) {
                seen.note(entry, errors);
                options.set(entry, errors);
            }
        }
        options
    }

    fn set(&mut self, entry: &Meta, errors: &mut Errors) {
        let path = entry.path();
        if path.is_ident("inline") {
            self.inline = flag(entry, errors).or(self.inline);
        } else if path.is_ident("oneway") {
            self.oneway = flag(entry, errors).or(self.oneway);
        } else if path.is_ident("idempotent") {
            self.idempotent = flag(entry, errors).or(self.idempotent);
        } else if path.is_ident("no_cancel") {
            self.no_cancel = flag(entry, errors).or(self.no_cancel);
        } else if path.is_ident("deadline") {
            let text = string(entry, "deadline = \"5s\"", errors);
            let nanos = text.and_then(|text| match duration::parse(&text.value()) {
                Ok(nanos) => Some((text.span(), nanos)),
                Err(message) => {
                    errors.at(text, message);
                    None
                }
            });
            self.deadline = nanos.or(self.deadline);
        } else {
            errors.at(path, format_args!("unknown key: {METHOD_KEYS}"));
        }
    }
}

/// Whether this is `#[ipc]`, which no one but this macro understands.
pub(crate) fn is_ipc(attribute: &Attribute) -> bool {
    attribute.path().is_ident("ipc")
}

/// The keys met so far: each may stand once.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn note(&mut self, entry: &Meta, errors: &mut Errors) {
        let Some(key) = entry.path().get_ident().map(ToString::to_string) else {
            return;
        };
        if self.0.contains(&key) {
            errors.at(entry, format_args!("`{key}` is given twice: remove one"));
        } else {
            self.0.push(key);
        }
    }
}

/// The keys between the parentheses; where they cannot be read, none.
fn entries(tokens: TokenStream, keys: &str, errors: &mut Errors) -> Punctuated<Meta, Token![,]> {
    Punctuated::parse_terminated.parse2(tokens).unwrap_or_else(|error| {
        errors.at_span(error.span(), format_args!("{error}: {keys}"));
        Punctuated::new()
    })
}

/// A key that stands alone.
fn flag(entry: &Meta, errors: &mut Errors) -> Option<Span> {
    let Meta::Path(path) = entry else {
        if let Some(key) = entry.path().get_ident() {
            errors.at(entry, format_args!("`{key}` takes no value: write `{key}`"));
        }
        return None;
    };
    path.get_ident().map(|key| key.span())
}

/// A key with a string.
fn string(entry: &Meta, example: &str, errors: &mut Errors) -> Option<LitStr> {
    if let Meta::NameValue(pair) = entry
        && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
    {
        return Some(text.clone());
    }
    errors.at(entry, format_args!("this key takes a string: write `{example}`"));
    None
}

fn path(text: &LitStr, errors: &mut Errors) -> Option<Path> {
    let path = text.parse_with(Path::parse_mod_style).ok();
    if path.is_none() {
        let value = text.value();
        errors.at(
            text,
            format_args!("`{value}` is not a path: write `crate = \"path::to::ipcall\"`"),
        );
    }
    path
}

fn not_empty(name: &LitStr, errors: &mut Errors) -> Option<String> {
    let value = name.value();
    if value.is_empty() {
        errors.at(name, "a service needs a name: leave `name` out to use that of the trait");
    }
    (!value.is_empty()).then_some(value)
}
