//! The faces of a result: what the descriptor names, what the clients ask for, how the server answers
//! with it, and what a client gives back.

use super::{local, place};
use crate::model::{Bytes, Payload};
use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};

/// The type whose form the descriptor tells.
pub(super) fn decoded(payload: &Payload, rt: &TokenStream) -> TokenStream {
    let ty = &payload.ty;
    let at = place(ty);
    match payload.bytes {
        Bytes::No => quote!(#ty),
        Bytes::Vec => quote_spanned!(at=> #rt::ByteBuf),
        Bytes::OptionVec => quote_spanned!(at=> ::core::option::Option<#rt::ByteBuf>),
    }
}

/// What a client asks for: the same, except that a string of bytes is taken rather than copied.
pub(super) fn taken(payload: &Payload, rt: &TokenStream) -> TokenStream {
    match payload.bytes {
        Bytes::Vec => quote_spanned!(place(&payload.ty)=> #rt::Taken),
        Bytes::No | Bytes::OptionVec => decoded(payload, rt),
    }
}

/// The server's reply with `value`.
pub(super) fn reply(payload: &Payload, value: &Ident, rt: &TokenStream) -> TokenStream {
    let at = place(&payload.ty);
    match payload.bytes {
        Bytes::No => quote_spanned!(at=> #rt::Reply::value(&#value)),
        Bytes::Vec => quote_spanned!(at=> #rt::Reply::bytes(#value)),
        Bytes::OptionVec => {
            quote_spanned!(at=> #rt::Reply::value(&#value.as_deref().map(#rt::Bytes::new)))
        }
    }
}

/// How items of a stream are written and read.
pub(super) fn codec(item: &Payload, rt: &TokenStream) -> TokenStream {
    match item.bytes {
        Bytes::No => quote!(#rt::Plain),
        Bytes::Vec | Bytes::OptionVec => quote!(#rt::ByteStrings),
    }
}

/// What a client does to the `Result` of its call, to give back the type as written.
pub(super) fn returned(payload: &Payload, rt: &TokenStream) -> TokenStream {
    match payload.bytes {
        Bytes::No | Bytes::Vec => quote!(),
        Bytes::OptionVec => {
            let bytes = local("bytes");
            let option = quote!(::core::option::Option<#rt::ByteBuf>);
            quote!(.map(|#bytes: #option| #bytes.map(#rt::ByteBuf::into_vec)))
        }
    }
}
