//! The three faces of a result: what the descriptor and the clients name, how the server encodes it,
//! and what a client gives back.

use super::{local, place};
use crate::model::{Bytes, Payload};
use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};

/// The type that a client decodes, and whose form the descriptor tells.
pub(super) fn decoded(payload: &Payload, rt: &TokenStream) -> TokenStream {
    let ty = &payload.ty;
    let at = place(ty);
    match payload.bytes {
        Bytes::No => quote!(#ty),
        Bytes::Vec => quote_spanned!(at=> #rt::ByteBuf),
        Bytes::OptionVec => quote_spanned!(at=> ::core::option::Option<#rt::ByteBuf>),
    }
}

/// What the server encodes: a reference to `value`, or to its bytes.
pub(super) fn encoded(payload: &Payload, value: &Ident, rt: &TokenStream) -> TokenStream {
    let at = place(&payload.ty);
    match payload.bytes {
        Bytes::No => quote_spanned!(at=> &#value),
        Bytes::Vec => quote!(#rt::Bytes::new(&#value)),
        Bytes::OptionVec => quote!(&#value.as_deref().map(#rt::Bytes::new)),
    }
}

/// What a client does to the `Result` of its call, to give back the type as written.
pub(super) fn returned(payload: &Payload, rt: &TokenStream) -> TokenStream {
    match payload.bytes {
        Bytes::No => quote!(),
        Bytes::Vec => quote!(.map(#rt::ByteBuf::into_vec)),
        Bytes::OptionVec => {
            let bytes = local("bytes");
            let option = quote!(::core::option::Option<#rt::ByteBuf>);
            quote!(.map(|#bytes: #option| #bytes.map(#rt::ByteBuf::into_vec)))
        }
    }
}
