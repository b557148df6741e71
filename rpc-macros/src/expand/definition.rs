//! The trait itself: as written, but that an `async fn` says what its future can do.
//!
//! A stream that comes as an argument is the type that handlers get. An `async fn` in a trait does not promise `Send`, and the server moves calls between threads.
//! Implementors go on writing `async fn`.

use quote::{quote, quote_spanned};
use syn::{
    Attribute, FnArg, ItemTrait, Pat, Path, ReturnType, Stmt, TraitItem, TraitItemFn, Type,
    parse_quote, parse_quote_spanned,
};

use super::place;
use crate::parse::{is_ipc, is_plain, stream_item};

/// The trait to emit, whether or not it has passed the rules: what uses it then has no errors of its
/// own.
pub(crate) fn definition(item: &ItemTrait, root: Option<&Path>) -> ItemTrait {
    let mut item = item.clone();
    strip(&mut item.attrs);
    if item.modifiers.auto_token.is_none() {
        let at = place(&item.ident);
        item.colon_token.get_or_insert_default();
        item.supertraits.push(parse_quote_spanned!(at=> ::core::marker::Send));
        item.supertraits.push(parse_quote_spanned!(at=> ::core::marker::Sync));
        item.supertraits.push(parse_quote_spanned!(at=> 'static));
    }
    for member in &mut item.items {
        if let TraitItem::Fn(function) = member {
            strip(&mut function.attrs);
            forgive(function);
            if let Some(root) = root {
                receive_streams(function, root);
            }
            send_streams(function);
            desugar(function);
        }
    }
    item
}

fn strip(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| !is_ipc(attribute));
}

/// Takes out what `rustc` would report a second time.
fn forgive(function: &mut TraitItemFn) {
    function.sig.constness = None;
    function.sig.variadic = None;
    for input in &mut function.sig.inputs {
        let FnArg::Typed(parameter) = input else {
            continue;
        };
        parameter.attrs.clear();
        let named = matches!(&*parameter.pat, Pat::Ident(name) if is_plain(name));
        if function.default.is_none() && !named {
            *parameter.pat = parse_quote!(_);
        }
    }
}

/// An argument `impl Stream<Item = T>` is what handlers get of it.
fn receive_streams(function: &mut TraitItemFn, root: &Path) {
    for input in &mut function.sig.inputs {
        if let FnArg::Typed(parameter) = input
            && let Some(item) = stream_item(&parameter.ty)
        {
            let at = place(&parameter.ty);
            *parameter.ty = parse_quote_spanned!(at=> #root::__rt::Incoming<#item>);
        }
    }
}

/// A result `impl Stream<Item = T>` is `Send`.
fn send_streams(function: &mut TraitItemFn) {
    if let ReturnType::Type(_, ty) = &mut function.sig.output
        && stream_item(ty).is_some()
        && let Type::ImplTrait(stream) = &mut **ty
    {
        let at = place(&stream.bounds);
        stream.bounds.push(parse_quote_spanned!(at=> ::core::marker::Send));
    }
}

/// `async fn m(..) -> R` as a plain `fn` that returns a future, at the place of `async` for what
/// `rustc` says of it.
fn desugar(function: &mut TraitItemFn) {
    let Some(asyncness) = function.sig.asyncness.take() else {
        return;
    };
    let at = place(asyncness);
    let output = match &function.sig.output {
        ReturnType::Default => quote_spanned!(at=> ()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    function.sig.output = parse_quote_spanned! {at=>
        -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
    };
    if let Some(body) = &mut function.default {
        let inner = body.clone();
        body.stmts = vec![Stmt::Expr(parse_quote_spanned!(at=> async move #inner), None)];
    }
}
