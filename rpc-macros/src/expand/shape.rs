//! The faces of an argument: what the server decodes, what the handler gets, what a client
//! encodes.

use super::{outcome, own, place};
use crate::model::{Argument, Method, Shape};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

/// The type that the server decodes, and whose form the descriptor tells.
pub(super) fn decoded(argument: &Argument, rt: &TokenStream) -> TokenStream {
    let ty = &argument.ty;
    let at = place(ty);
    match &argument.shape {
        Shape::Plain | Shape::Bytes | Shape::OptionBytes => quote!(#ty),
        Shape::Reference(target) => quote!(#target),
        Shape::Slice(item) => quote_spanned!(at=> ::std::vec::Vec<#item>),
        Shape::OptionReference(target) => quote_spanned!(at=> ::core::option::Option<#target>),
        Shape::OptionSlice(item) => {
            quote_spanned!(at=> ::core::option::Option<::std::vec::Vec<#item>>)
        }
        Shape::ByteBuf => quote_spanned!(at=> #rt::ByteBuf),
        Shape::OptionByteBuf => quote_spanned!(at=> ::core::option::Option<#rt::ByteBuf>),
        Shape::CowStr => quote_spanned!(at=> &str),
        Shape::CowBytes => quote_spanned!(at=> &[u8]),
        Shape::Stream(item) => outcome::decoded(item, rt),
    }
}

/// What the handler is called with.
pub(super) fn passed(argument: &Argument, rt: &TokenStream) -> TokenStream {
    let name = own(&argument.ident);
    match &argument.shape {
        Shape::Plain | Shape::Bytes | Shape::OptionBytes | Shape::Stream(_) => quote!(#name),
        Shape::Reference(_) | Shape::Slice(_) => quote!(&#name),
        Shape::OptionReference(_) => quote!(#name.as_ref()),
        Shape::OptionSlice(_) => quote!(#name.as_deref()),
        Shape::ByteBuf => quote!(#rt::ByteBuf::into_vec(#name)),
        Shape::OptionByteBuf => quote!(#name.map(#rt::ByteBuf::into_vec)),
        Shape::CowStr | Shape::CowBytes => quote!(::core::convert::Into::into(#name)),
    }
}

/// What a client encodes. An owned argument is moved there, and so is freed before its reply comes.
pub(super) fn encoded(argument: &Argument, rt: &TokenStream) -> TokenStream {
    let name = own(&argument.ident);
    match &argument.shape {
        Shape::Plain
        | Shape::Reference(_)
        | Shape::Slice(_)
        | Shape::OptionReference(_)
        | Shape::OptionSlice(_)
        | Shape::Stream(_)
        | Shape::CowStr => quote!(#name),
        Shape::Bytes => quote!(#rt::Bytes::new(#name)),
        Shape::OptionBytes => quote!(#name.map(#rt::Bytes::new)),
        Shape::ByteBuf => quote!(#rt::ByteBuf::from(#name)),
        Shape::OptionByteBuf => quote!(#name.map(#rt::ByteBuf::from)),
        Shape::CowBytes => quote!(#rt::Bytes::new(&#name)),
    }
}

/// What a client passes on: the arguments as a tuple, of which a string of bytes at the end is moved
/// rather than copied.
pub(super) fn arguments(method: &Method, rt: &TokenStream) -> TokenStream {
    let arguments: Vec<_> = method.encoded().collect();
    if let [others @ .., last] = &arguments[..]
        && matches!(last.shape, Shape::ByteBuf)
    {
        let (others, tail) =
            (others.iter().map(|argument| encoded(argument, rt)), own(&last.ident));
        return quote!(&mut #rt::WithTail { others: (#(#others,)*), tail: #tail });
    }
    let encoded = arguments.iter().map(|argument| encoded(argument, rt));
    quote!(&mut (#(#encoded,)*))
}
