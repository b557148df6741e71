//! Which attributes of the trait and its methods are repeated on the generated code.
//!
//! A list of what is known to be right there, and not of what is wrong: an attribute macro such as
//! `#[instrument]`, or a lint level such as `#[expect]`, means the item that it was written on.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token, parse_quote};

/// `#[cfg]`, for every generated piece: none may outlive the item that it comes from.
pub(crate) fn cfg(attributes: &[Attribute]) -> Vec<Attribute> {
    select(attributes, |meta| meta.path().is_ident("cfg"))
}

/// What a client's method repeats of the trait's method.
pub(crate) fn for_method(attributes: &[Attribute]) -> Vec<Attribute> {
    select(attributes, |meta| {
        ["allow", "cfg", "deprecated", "doc"].iter().any(|name| meta.path().is_ident(name))
    })
}

/// What a generated type repeats of the trait; it has documentation of its own.
pub(crate) fn for_type(attributes: &[Attribute]) -> Vec<Attribute> {
    select(attributes, |meta| {
        meta.path().is_ident("cfg") || meta.path().is_ident("deprecated") || hides(meta)
    })
}

/// Those `#[cfg_attr]` that would put an attribute on the item which this macro has to know before.
pub(crate) fn conditional_ipc(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| {
        attribute.path().is_ident("cfg_attr")
            && filter(&attribute.meta, &|meta: &Meta| meta.path().is_ident("ipc")).is_some()
    })
}

fn hides(meta: &Meta) -> bool {
    let Meta::List(list) = meta else {
        return false;
    };
    list.path.is_ident("doc") && list.tokens.to_string() == "hidden"
}

fn select(attributes: &[Attribute], keep: impl Fn(&Meta) -> bool) -> Vec<Attribute> {
    let kept = attributes.iter().filter_map(|attribute| filter(&attribute.meta, &keep));
    kept.map(|meta| parse_quote!(#[#meta])).collect()
}

/// `meta` itself, or a `cfg_attr` with only those of its attributes that are kept.
fn filter(meta: &Meta, keep: &impl Fn(&Meta) -> bool) -> Option<TokenStream> {
    let list = match meta {
        Meta::List(list) if list.path.is_ident("cfg_attr") => list,
        _ => return keep(meta).then(|| quote!(#meta)),
    };
    let (predicate, inner) = inside.parse2(list.tokens.clone()).ok()?;
    let kept: Vec<_> = inner.iter().filter_map(|meta| filter(meta, keep)).collect();
    let path = &list.path;
    (!kept.is_empty()).then(|| quote!(#path(#predicate, #(#kept),*)))
}

/// The inside of `#[cfg_attr(predicate, attribute, ..)]`.
fn inside(input: ParseStream<'_>) -> syn::Result<(TokenStream, Punctuated<Meta, Token![,]>)> {
    let mut predicate = TokenStream::new();
    while !input.peek(Token![,]) {
        predicate.extend([input.parse::<TokenTree>()?]);
    }
    input.parse::<Token![,]>()?;
    Ok((predicate, Punctuated::parse_terminated(input)?))
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;

    use super::*;

    fn printed(attributes: &[Attribute]) -> String {
        attributes.iter().map(|attribute| attribute.to_token_stream().to_string()).collect()
    }

    #[test]
    fn cfg_attr_keeps_only_what_is_forwarded() {
        let attribute: Attribute =
            parse_quote!(#[cfg_attr(unix, cfg(feature = "a"), deprecated, inline)]);
        let attributes = [attribute];
        let cfg_attr = printed(&cfg(&attributes));
        assert_eq!(cfg_attr, printed(&[parse_quote!(#[cfg_attr(unix, cfg(feature = "a"))])]));
        let method = printed(&for_method(&attributes));
        assert_eq!(
            method,
            printed(&[parse_quote!(#[cfg_attr(unix, cfg(feature = "a"), deprecated)])])
        );
    }

    #[test]
    fn lint_expectations_and_attribute_macros_stay_on_the_trait() {
        let attributes: [Attribute; 3] = [
            parse_quote!(#[expect(unused)]),
            parse_quote!(#[instrument]),
            parse_quote!(#[must_use]),
        ];
        assert!(for_method(&attributes).is_empty());
        assert!(for_type(&attributes).is_empty());
    }
}
