//! `FooServer<T>`: what makes a service of an implementation.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{derived, index, link, local, outcome, own, place, shape, visibility};
use crate::model::{Argument, Execution, Method, Outcome, Service, Shape};

/// The public type.
pub(super) fn definition(service: &Service) -> TokenStream {
    let (vis, attributes, server) =
        (visibility(service), &service.attributes, derived(service, "Server"));
    let doc = format!(" Serves an implementation of {} to other processes.", link(service));
    quote! {
        #[doc = #doc]
        ///
        /// Made by `#[ipc_service]`. Clones share the one implementation.
        #(#attributes)*
        #[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
        #vis struct #server<T: ?::core::marker::Sized> {
            service: ::std::sync::Arc<T>,
        }
    }
}

/// Its constructors, its traits, and the dispatch.
pub(super) fn implementation(service: &Service, rt: &TokenStream) -> TokenStream {
    let server = derived(service, "Server");
    let bound = bound(service);
    let name = server.to_string();
    let dispatch = dispatch(service, rt);
    quote! {
        impl<__Service: #bound> #server<__Service> {
            /// Serves `service`.
            pub fn new(service: __Service) -> Self {
                Self { service: ::std::sync::Arc::new(service) }
            }
        }

        impl<__Service: #bound + ?::core::marker::Sized> #server<__Service> {
            /// Serves an implementation that the rest of the program shares.
            pub fn from_arc(service: ::std::sync::Arc<__Service>) -> Self {
                Self { service }
            }
        }

        #[automatically_derived]
        impl<__Service: ?::core::marker::Sized> ::core::clone::Clone for #server<__Service> {
            fn clone(&self) -> Self {
                Self { service: ::std::sync::Arc::clone(&self.service) }
            }
        }

        #[automatically_derived]
        impl<__Service: ?::core::marker::Sized> ::core::fmt::Debug for #server<__Service> {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                formatter.debug_struct(#name).finish_non_exhaustive()
            }
        }

        #dispatch
    }
}

/// What an implementation is: after an error in the trait's generics, anything.
fn bound(service: &Service) -> TokenStream {
    let name = &service.ident;
    if service.generic {
        quote!(::core::marker::Send + ::core::marker::Sync + 'static)
    } else {
        quote!(#name)
    }
}

fn dispatch(service: &Service, rt: &TokenStream) -> TokenStream {
    let server = derived(service, "Server");
    let bound = bound(service);
    let descriptor = local("descriptor");
    let (method, request) = (local("method"), local("request"));
    let arms = service.methods.iter().map(|method| {
        let (cfg, index, handling) = (&method.cfg, index(method), handling(method, service, rt));
        quote!(#(#cfg)* #index => #handling,)
    });
    quote! {
        #[automatically_derived]
        impl<__Service: #bound + ?::core::marker::Sized> #rt::Service for #server<__Service> {
            fn descriptor(&self) -> &'static #rt::ServiceDescriptor {
                #descriptor()
            }

            fn call(&self, #method: u16, #request: #rt::Request<'_>) -> #rt::Handling {
                match #method {
                    #(#arms)*
                    _ => #rt::Handling::unknown(#method),
                }
            }
        }
    }
}

/// One arm: where the method runs, and around it what it takes and gives.
fn handling(method: &Method, service: &Service, rt: &TokenStream) -> TokenStream {
    let (this, request) = (local("service"), local("request"));
    let at = place(&method.ident);
    let share = quote_spanned!(at=> let #this = ::std::sync::Arc::clone(&self.service););
    let mutable = (takes_bytes(method) || has_streams(method)).then(|| quote_spanned!(at=> mut));
    match method.execution {
        Execution::Future | Execution::Stream => {
            let body = handler(method, service, &quote!(&*#this), rt);
            quote_spanned!(at=> {
                #share
                #rt::Handling::future(#request, |#mutable #request| async move { #body })
            })
        }
        Execution::Blocking => {
            let body = handler(method, service, &quote!(&*#this), rt);
            quote_spanned!(at=> {
                #share
                #rt::Handling::blocking(#request, move |#mutable #request| { #body })
            })
        }
        Execution::Inline => {
            let body = handler(method, service, &quote!(&*self.service), rt);
            quote_spanned!(at=> #rt::Handling::inline(#request, |#request| { #body }))
        }
    }
}

/// Whether the only argument is a string of bytes that is the handler's to keep: then it is taken out of
/// the request rather than copied.
fn takes_bytes(method: &Method) -> bool {
    let mut arguments = method.encoded();
    let (first, second) = (arguments.next(), arguments.next());
    matches!((first, second), (Some(Argument { shape: Shape::ByteBuf, .. }), None))
        && !matches!(method.execution, Execution::Inline)
}

fn has_streams(method: &Method) -> bool {
    matches!(method.outcome, Outcome::Stream(..)) || method.stream().is_some()
}

/// Decodes, calls, encodes.
fn handler(
    method: &Method,
    service: &Service,
    this: &TokenStream,
    rt: &TokenStream,
) -> TokenStream {
    let at = place(&method.ident);
    let request = local("request");
    let bindings = method.encoded().map(|argument| own(&argument.ident));
    let streams = streams(method, rt);
    let call = call(method, service, this, rt);
    let reply = reply(method, &call, rt);
    let arguments = if takes_bytes(method) {
        quote_spanned!(at=> (#rt::ByteBuf::from(#request.take_bytes()?),))
    } else {
        let types = method.encoded().map(|argument| shape::decoded(argument, rt));
        quote_spanned!(at=> #request.arguments::<(#(#types,)*)>()?)
    };
    quote_spanned! {at=>
        #streams
        let (#(#bindings,)*) = #arguments;
        #reply
    }
}

/// The ends of its streams.
fn streams(method: &Method, rt: &TokenStream) -> TokenStream {
    let request = local("request");
    let incoming = method.stream().map(|(argument, item)| {
        let (at, name, ty) = (place(&argument.ty), own(&argument.ident), &item.ty);
        let codec = outcome::codec(item, rt);
        quote_spanned!(at=> let #name = #request.incoming::<#codec, #ty>()?;)
    });
    let results = matches!(method.outcome, Outcome::Stream(..)).then(|| {
        let results = local("results");
        quote_spanned!(place(&method.ident)=> let #results = #request.results()?;)
    });
    quote!(#incoming #results)
}

/// The implementation's method, on what was decoded.
fn call(method: &Method, service: &Service, this: &TokenStream, rt: &TokenStream) -> TokenStream {
    let at = place(&method.ident);
    let (name, function, request) = (&service.ident, own(&method.ident), local("request"));
    let context = method.context.then(|| quote_spanned!(at=> , #request.context()));
    let passed = method.arguments.iter().map(|argument| shape::passed(argument, rt));
    let awaited = match method.execution {
        Execution::Future => quote_spanned!(at=> .await),
        Execution::Blocking | Execution::Inline | Execution::Stream => quote!(),
    };
    quote_spanned!(at=> <__Service as #name>::#function(#this #context #(, #passed)*) #awaited)
}

/// The outcome of `call` as a reply.
fn reply(method: &Method, call: &TokenStream, rt: &TokenStream) -> TokenStream {
    let at = place(&method.ident);
    let (value, error) = (local("value"), local("error"));
    match &method.outcome {
        Outcome::Oneway => quote_spanned!(at=> #call; #rt::Reply::none()),
        Outcome::Unit => quote_spanned!(at=> #call; #rt::Reply::value(&())),
        Outcome::Value(payload) => {
            let reply = outcome::reply(payload, &value, rt);
            quote_spanned!(at=> let #value = #call; #reply)
        }
        Outcome::Stream(item, failure) => {
            let (results, codec) = (local("results"), outcome::codec(item, rt));
            match failure {
                None => quote_spanned!(at=> #results.send::<#codec, _>(#call).await),
                Some(_) => {
                    quote_spanned!(at=> #results.send_fallible::<#codec, _, _, _>(#call).await)
                }
            }
        }
        Outcome::Fallible(payload, failure) => {
            let reply = outcome::reply(payload, &value, rt);
            let at_failure = place(failure);
            let failed = quote_spanned!(at_failure=> &#error);
            quote_spanned! {at=>
                match #call {
                    ::core::result::Result::Ok(#value) => #reply,
                    ::core::result::Result::Err(#error) => #rt::Reply::error(#failed),
                }
            }
        }
    }
}
