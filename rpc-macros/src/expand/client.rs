//! `FooClient` and `FooBlockingClient`: the same methods, with and without `async`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;

use super::{derived, index, link, local, outcome, own, place, shape, visibility};
use crate::model::{Argument, Method, Outcome, Payload, Service, Shape};
use crate::parse::plain;

/// One of the two clients of a service.
pub(super) struct Client<'a> {
    service: &'a Service,
    rt: &'a TokenStream,
    ident: Ident,
    /// The first line of the type's documentation, after the name of the trait.
    manner: &'static str,
    /// `Stub` or `BlockingStub`, and the connection that it works over.
    stub: TokenStream,
    connection: TokenStream,
    is_async: bool,
}

impl<'a> Client<'a> {
    pub(super) fn future(service: &'a Service, rt: &'a TokenStream) -> Self {
        Self {
            service,
            rt,
            ident: derived(service, "Client"),
            manner: "from async code",
            stub: quote!(#rt::Stub),
            connection: quote!(#rt::Client),
            is_async: true,
        }
    }

    pub(super) fn blocking(service: &'a Service, rt: &'a TokenStream) -> Self {
        Self {
            service,
            rt,
            ident: derived(service, "BlockingClient"),
            manner: "without an async runtime; each call blocks its thread",
            stub: quote!(#rt::BlockingStub),
            connection: quote!(#rt::BlockingClient),
            is_async: false,
        }
    }

    /// The public type.
    pub(super) fn definition(&self) -> TokenStream {
        let Self { service, ident, stub, .. } = self;
        let (vis, attributes) = (visibility(service), &service.attributes);
        let doc = format!(" Calls {} in another process, {}.", link(service), self.manner);
        quote! {
            #[doc = #doc]
            ///
            /// Made by `#[ipc_service]`. Clones share the one connection.
            #(#attributes)*
            #[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
            #vis struct #ident {
                stub: #stub,
            }
        }
    }

    /// Its constructors, its traits, and the methods of the service.
    pub(super) fn implementation(&self) -> TokenStream {
        let Self { service, ident, .. } = self;
        let (connect, options) = (self.connect(), self.options());
        let methods = service.methods.iter().map(|method| self.method(method));
        let name = ident.to_string();
        quote! {
            #[automatically_derived]
            impl ::core::clone::Clone for #ident {
                fn clone(&self) -> Self {
                    Self { stub: ::core::clone::Clone::clone(&self.stub) }
                }
            }

            #[automatically_derived]
            impl ::core::fmt::Debug for #ident {
                fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    formatter.debug_tuple(#name).field(&self.stub).finish()
                }
            }

            impl #ident {
                #connect
                #options
                #(#methods)*
            }
        }
    }

    fn connect(&self) -> TokenStream {
        let Self { rt, stub, connection, .. } = self;
        let (asyncness, awaited) = self.asynchrony(Span::call_site());
        let descriptor = local("descriptor");
        quote! {
            /// Connects to a server of this service.
            ///
            /// # Errors
            ///
            /// If there is no server, it refuses, or it speaks another protocol.
            pub #asyncness fn connect(
                connector: &(impl #rt::Connector + ?::core::marker::Sized),
            ) -> ::core::result::Result<Self, #rt::RpcError> {
                let stub = #stub::connect(#descriptor(), connector)#awaited?;
                ::core::result::Result::Ok(Self { stub })
            }

            /// Connects to a server of this service as `options` say.
            ///
            /// # Errors
            ///
            /// If there is no server, it refuses, or it speaks another protocol.
            pub #asyncness fn connect_with(
                connector: &(impl #rt::Connector + ?::core::marker::Sized),
                options: &#rt::ConnectOptions,
            ) -> ::core::result::Result<Self, #rt::RpcError> {
                let stub = #stub::connect_with(#descriptor(), connector, options)#awaited?;
                ::core::result::Result::Ok(Self { stub })
            }

            /// Calls this service over a connection that others use as well.
            ///
            /// # Errors
            ///
            /// If the server at its other end has no such service.
            pub fn from_client(
                client: &#connection,
            ) -> ::core::result::Result<Self, #rt::RpcError> {
                let stub = #stub::from_client(#descriptor(), client)?;
                ::core::result::Result::Ok(Self { stub })
            }

            /// The connection, for other services at its other end.
            pub fn client(&self) -> &#connection {
                self.stub.client()
            }
        }
    }

    fn options(&self) -> TokenStream {
        let rt = self.rt;
        quote! {
            /// The same client, with `options` for each of its calls.
            #[must_use]
            pub fn with_options(&self, options: #rt::CallOptions) -> Self {
                Self { stub: self.stub.with_options(options) }
            }

            /// The same client, with a deadline for each of its calls.
            #[must_use]
            pub fn with_deadline(&self, deadline: ::core::time::Duration) -> Self {
                Self { stub: self.stub.with_deadline(deadline) }
            }

            /// The same client, with a token for each of its calls: when it is cancelled, they are.
            #[must_use]
            pub fn with_cancel_token(&self, token: &#rt::CancelToken) -> Self {
                Self { stub: self.stub.with_cancel_token(token) }
            }

            /// The same client, with one more pair of strings beside each of its calls.
            #[must_use]
            pub fn with_metadata(
                &self,
                key: impl ::core::convert::Into<::std::string::String>,
                value: impl ::core::convert::Into<::std::string::String>,
            ) -> Self {
                Self { stub: self.stub.with_metadata(key, value) }
            }
        }
    }

    /// The call itself is a statement of its own: what it encodes from is dropped before anything
    /// waits.
    fn method(&self, method: &Method) -> TokenStream {
        let rt = self.rt;
        let (attributes, ident) = (&method.attributes, own(&method.ident));
        let at = place(&method.ident);
        let (asyncness, awaited) = self.asynchrony(at);
        let call = local("call");
        let (output, function, returned) = match method.stream() {
            Some((_, item)) => self.outcome_beside_stream(method, item),
            None => self.outcome(method),
        };
        let parameters = method.arguments.iter().map(|argument| {
            let (ident, ty) = (own(&argument.ident), self.taken(argument, method));
            quote!(#ident: #ty)
        });
        let index = index(method);
        let arguments = shape::arguments(method, rt);
        let stream = method.stream().map(|(argument, _)| own(&argument.ident));
        let stream = stream.map(|stream| quote!(, #stream));
        quote_spanned! {at=>
            #(#attributes)*
            pub #asyncness fn #ident(&self #(, #parameters)*) -> #output {
                let #call = self.stub.#function(#index, #arguments #stream);
                #call #awaited #returned
            }
        }
    }

    /// What a stream comes as.
    fn streamed(&self, item: &Payload, error: Option<&Type>) -> TokenStream {
        let (rt, ty) = (self.rt, &item.ty);
        let stream = if self.is_async { quote!(ItemStream) } else { quote!(Items) };
        let error = error.map(|error| quote!(#error));
        let (of, fails) = match error {
            None => (quote!(), quote!()),
            Some(error) => (quote!(, #error), quote!(<#error>)),
        };
        quote!(::core::result::Result<#rt::#stream<#ty #of>, #rt::CallError #fails>)
    }

    /// The same as [`outcome`](Self::outcome) where items of `sent` are sent beside the call.
    fn outcome_beside_stream(
        &self,
        method: &Method,
        sent: &Payload,
    ) -> (TokenStream, TokenStream, TokenStream) {
        let (rt, written) = (self.rt, outcome::codec(sent, self.rt));
        let result = quote!(::core::result::Result);
        match &method.outcome {
            Outcome::Stream(item, error) => {
                let (ty, codec) = (&item.ty, outcome::codec(item, rt));
                let function = match error {
                    None => quote!(converse::<_, #written, _, #codec, #ty>),
                    Some(error) => quote!(converse_fallible::<_, #written, _, #codec, #ty, #error>),
                };
                (self.streamed(item, error.as_deref()), function, quote!())
            }
            Outcome::Oneway | Outcome::Unit => {
                let output = quote!(#result<(), #rt::CallError>);
                (output, quote!(upload::<_, #written, _, ()>), quote!())
            }
            Outcome::Value(payload) => {
                let (ty, decoded) = (&payload.ty, outcome::taken(payload, rt));
                let output = quote!(#result<#ty, #rt::CallError>);
                let returned = outcome::returned(payload, rt);
                (output, quote!(upload::<_, #written, _, #decoded>), returned)
            }
            Outcome::Fallible(payload, error) => {
                let (ty, decoded) = (&payload.ty, outcome::taken(payload, rt));
                let output = quote!(#result<#ty, #rt::CallError<#error>>);
                let function = quote!(upload_fallible::<_, #written, _, #decoded, #error>);
                (output, function, outcome::returned(payload, rt))
            }
        }
    }

    /// What a client takes for an argument.
    fn taken(&self, argument: &Argument, method: &Method) -> TokenStream {
        let ty = &argument.ty;
        let Shape::Stream(item) = &argument.shape else { return quote!(#ty) };
        let (at, item) = (place(ty), &item.ty);
        let converses = matches!(method.outcome, Outcome::Stream(..));
        match (self.is_async, converses) {
            // As written, so that what it names is used.
            (true, false) => quote!(#ty),
            (true, true) => match plain(ty) {
                Type::ImplTrait(stream) => {
                    let bounds = &stream.bounds;
                    quote_spanned!(at=> impl #bounds + ::core::marker::Send + 'static)
                }
                other => quote!(#other),
            },
            (false, false) => {
                quote_spanned!(at=> impl ::core::iter::IntoIterator<Item = #item>)
            }
            (false, true) => quote_spanned! {at=>
                impl ::core::iter::IntoIterator<
                    Item = #item,
                    IntoIter: ::core::marker::Send + 'static,
                >
            },
        }
    }

    /// `async` and `.await`, or nothing.
    fn asynchrony(&self, at: Span) -> (TokenStream, TokenStream) {
        if self.is_async {
            (quote_spanned!(at=> async), quote_spanned!(at=> .await))
        } else {
            (quote!(), quote!())
        }
    }

    /// What the method gives, the stub's method behind it, and what is done to the outcome of that.
    fn outcome(&self, method: &Method) -> (TokenStream, TokenStream, TokenStream) {
        let rt = self.rt;
        let result = quote!(::core::result::Result);
        match &method.outcome {
            Outcome::Oneway => (quote!(#result<(), #rt::CallError>), quote!(send::<_>), quote!()),
            Outcome::Unit => (quote!(#result<(), #rt::CallError>), quote!(call::<_, ()>), quote!()),
            Outcome::Value(payload) => {
                let (ty, decoded) = (&payload.ty, outcome::taken(payload, rt));
                let returned = outcome::returned(payload, rt);
                (quote!(#result<#ty, #rt::CallError>), quote!(call::<_, #decoded>), returned)
            }
            Outcome::Fallible(payload, error) => {
                let (ty, decoded) = (&payload.ty, outcome::taken(payload, rt));
                let returned = outcome::returned(payload, rt);
                let output = quote!(#result<#ty, #rt::CallError<#error>>);
                (output, quote!(call_fallible::<_, #decoded, #error>), returned)
            }
            Outcome::Stream(item, error) => {
                let (ty, codec) = (&item.ty, outcome::codec(item, rt));
                let function = match error {
                    None => quote!(stream::<_, #codec, #ty>),
                    Some(error) => quote!(stream_fallible::<_, #codec, #ty, #error>),
                };
                (self.streamed(item, error.as_deref()), function, quote!())
            }
        }
    }
}
