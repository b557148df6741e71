//! The function that describes the service: its name and, for each method, the form of what it takes
//! and gives.
//!
//! Made of statements, so that a `#[cfg]` can stand before each; made once, and shared by server and
//! clients.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use super::{index, local, outcome, shape};
use crate::model::{Execution, Method, Outcome, Service, Shape};

pub(super) fn function(service: &Service, rt: &TokenStream) -> TokenStream {
    let function = local("descriptor");
    let descriptor = local("service");
    let name = &service.name;
    let statements = service.methods.iter().map(|method| {
        let (cfg, index, method) = (&method.cfg, index(method), built(method, rt));
        quote!(#(#cfg)* #descriptor.method(#index, #method);)
    });
    quote! {
        fn #function() -> &'static #rt::ServiceDescriptor {
            static __IPCALL_DESCRIPTOR: ::std::sync::OnceLock<#rt::ServiceDescriptor> =
                ::std::sync::OnceLock::new();
            __IPCALL_DESCRIPTOR.get_or_init(|| {
                let mut #descriptor = #rt::ServiceDescriptor::new(#name);
                #(#statements)*
                #descriptor
            })
        }
    }
}

/// One builder expression for one method.
fn built(method: &Method, rt: &TokenStream) -> TokenStream {
    let name = method.name();
    let arguments = method.arguments.iter().map(|argument| {
        let (ty, name) = (shape::decoded(argument, rt), argument.name());
        match argument.shape {
            Shape::Stream(_) => quote!(.stream_argument::<#ty>(#name)),
            _ => quote!(.argument::<#ty>(#name)),
        }
    });
    let outcome = match &method.outcome {
        Outcome::Oneway => quote!(.oneway()),
        Outcome::Unit => quote!(.returns::<()>()),
        Outcome::Value(value) => {
            let value = outcome::decoded(value, rt);
            quote!(.returns::<#value>())
        }
        Outcome::Fallible(value, error) => {
            let value = outcome::decoded(value, rt);
            quote!(.returns::<#value>().fails::<#error>())
        }
        Outcome::Stream(item, error) => {
            let item = outcome::decoded(item, rt);
            let error = error.as_ref().map(|error| quote!(.fails::<#error>()));
            quote!(.streams::<#item>() #error)
        }
    };
    let context = method.context.then(|| quote!(.context()));
    let inline = matches!(method.execution, Execution::Inline).then(|| quote!(.inline()));
    let no_cancel = method.no_cancel.then(|| quote!(.no_cancel()));
    let idempotent = method.idempotent.then(|| quote!(.idempotent()));
    let deadline = method.deadline.map(|nanos| {
        let nanos = Literal::u64_unsuffixed(nanos);
        quote!(.deadline(#nanos))
    });
    quote! {
        #rt::MethodDescriptor::new(#name)
            #(#arguments)* #outcome #inline #context #idempotent #no_cancel #deadline
    }
}
