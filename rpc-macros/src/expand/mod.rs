//! Prints the trait and the glue around it.
//!
//! The generated code decides nothing: each method becomes one arm, one descriptor and one call per
//! client, over the `doc(hidden)` module `__rt` of `ipcall`. Every path is absolute, so that nothing
//! in the user's scope can take its place; local names are hygienic and, as constants are not, unusual
//! too.

mod client;
mod definition;
mod descriptor;
mod outcome;
mod server;
mod shape;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned;
use syn::{Path, Visibility};

use self::client::Client;
pub(crate) use self::definition::definition;
use crate::model::{Method, Service};

/// Everything that is generated beside the trait; `root` is the path of `ipcall`.
pub(crate) fn glue(service: &Service, root: &Path) -> TokenStream {
    let rt = &quote!(#root::__rt);
    let clients = [Client::future(service, rt), Client::blocking(service, rt)];
    let client_types = clients.iter().map(Client::definition);
    let client_impls = clients.iter().map(Client::implementation);
    let server_type = server::definition(service);
    let server_impl = server::implementation(service, rt);
    let descriptor = descriptor::function(service, rt);
    let cfg = &service.cfg;
    quote! {
        #server_type
        #(#client_types)*
        #(#cfg)*
        #[allow(
            clippy::all,
            clippy::nursery,
            clippy::pedantic,
            clippy::restriction,
            dead_code,
            deprecated,
            unused_braces,
            unused_parens,
            unused_qualifications,
            reason = "generated; what these would say is said of the trait"
        )]
        const _: () = {
            #descriptor
            #server_impl
            #(#client_impls)*
        };
    }
}

/// A name made from that of the trait, shown where the trait is.
fn derived(service: &Service, suffix: &str) -> Ident {
    format_ident!("{}{suffix}", service.ident.unraw(), span = place(&service.ident))
}

/// The trait, in the documentation of what stands beside it.
fn link(service: &Service) -> String {
    let name = service.ident.unraw();
    format!("[`{name}`](trait@{name})")
}

/// The trait's visibility, as the generated code's own, so that `unreachable_pub` speaks of the trait
/// only.
fn visibility(service: &Service) -> TokenStream {
    match &service.vis {
        Visibility::Public(_) => quote!(pub),
        other => quote!(#other),
    }
}

/// A name of the trait's as the generated code's own: it stands where it stood, but lints speak of the
/// trait only.
fn own(ident: &Ident) -> Ident {
    let mut own = ident.clone();
    own.set_span(place(ident));
    own
}

/// Generated code for something of the user's: what the compiler has to say of it is said there.
fn place(of: impl Spanned) -> Span {
    Span::call_site().located_at(of.span())
}

/// A local name that the user's code can neither see nor shadow.
fn local(name: &str) -> Ident {
    format_ident!("__ipcall_{name}", span = Span::mixed_site())
}

fn index(method: &Method) -> Literal {
    Literal::u16_unsuffixed(method.index)
}
