/// Documentation of the trait.
#[cfg(feature = "service")]
#[deprecated(note = "use another")]
#[allow(clippy::len_without_is_empty)]
pub trait Attributes: ::core::marker::Send + ::core::marker::Sync + 'static {
    /// Has a body, which stays.
    #[instrument]
    #[cfg(unix)]
    fn body(
        &self,
        text: &str,
    ) -> impl ::core::future::Future<Output = usize> + ::core::marker::Send {
        async move {
            let length = self.length(text).await;
            length + 1
        }
    }
    /// Is gone with its `cfg`.
    #[cfg_attr(windows, cfg(feature = "windows"), inline)]
    #[deprecated]
    #[must_use]
    #[allow(non_snake_case)]
    fn length(
        &self,
        text: &str,
    ) -> impl ::core::future::Future<Output = usize> + ::core::marker::Send;
}
/// Serves an implementation of [`Attributes`](trait@Attributes) to other processes.
///
/// Made by `#[ipc_service]`. Clones share the one implementation.
#[cfg(feature = "service")]
#[deprecated(note = "use another")]
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub struct AttributesServer<T: ?::core::marker::Sized> {
    service: ::std::sync::Arc<T>,
}
/// Calls [`Attributes`](trait@Attributes) in another process, from async code.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[cfg(feature = "service")]
#[deprecated(note = "use another")]
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub struct AttributesClient {
    stub: crate::rpc::__rt::Stub,
}
/// Calls [`Attributes`](trait@Attributes) in another process, without an async runtime; each call blocks its thread.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[cfg(feature = "service")]
#[deprecated(note = "use another")]
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub struct AttributesBlockingClient {
    stub: crate::rpc::__rt::BlockingStub,
}
#[cfg(feature = "service")]
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
    fn __ipcall_descriptor() -> &'static crate::rpc::__rt::ServiceDescriptor {
        static __IPCALL_DESCRIPTOR: ::std::sync::OnceLock<
            crate::rpc::__rt::ServiceDescriptor,
        > = ::std::sync::OnceLock::new();
        __IPCALL_DESCRIPTOR
            .get_or_init(|| {
                let mut __ipcall_service = crate::rpc::__rt::ServiceDescriptor::new(
                    "Attributes",
                );
                #[cfg(unix)]
                __ipcall_service
                    .method(
                        0,
                        crate::rpc::__rt::MethodDescriptor::new("body")
                            .argument::<&str>("text")
                            .returns::<usize>(),
                    );
                #[cfg_attr(windows, cfg(feature = "windows"))]
                __ipcall_service
                    .method(
                        1,
                        crate::rpc::__rt::MethodDescriptor::new("length")
                            .argument::<&str>("text")
                            .returns::<usize>(),
                    );
                __ipcall_service
            })
    }
    impl<__Service: Attributes> AttributesServer<__Service> {
        /// Serves `service`.
        pub fn new(service: __Service) -> Self {
            Self {
                service: ::std::sync::Arc::new(service),
            }
        }
    }
    impl<__Service: Attributes + ?::core::marker::Sized> AttributesServer<__Service> {
        /// Serves an implementation that the rest of the program shares.
        pub fn from_arc(service: ::std::sync::Arc<__Service>) -> Self {
            Self { service }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::clone::Clone
    for AttributesServer<__Service> {
        fn clone(&self) -> Self {
            Self {
                service: ::std::sync::Arc::clone(&self.service),
            }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::fmt::Debug
    for AttributesServer<__Service> {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_struct("AttributesServer").finish_non_exhaustive()
        }
    }
    #[automatically_derived]
    impl<__Service: Attributes + ?::core::marker::Sized> crate::rpc::__rt::Service
    for AttributesServer<__Service> {
        fn descriptor(&self) -> &'static crate::rpc::__rt::ServiceDescriptor {
            __ipcall_descriptor()
        }
        fn call(
            &self,
            __ipcall_method: u16,
            __ipcall_request: crate::rpc::__rt::Request<'_>,
        ) -> crate::rpc::__rt::Handling {
            match __ipcall_method {
                #[cfg(unix)]
                0 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    crate::rpc::__rt::Handling::future(
                        __ipcall_request,
                        |__ipcall_request| async move {
                            let (text,) = __ipcall_request.arguments::<(&str,)>()?;
                            let __ipcall_value = <__Service as Attributes>::body(
                                    &*__ipcall_service,
                                    text,
                                )
                                .await;
                            crate::rpc::__rt::Reply::value(&__ipcall_value)
                        },
                    )
                }
                #[cfg_attr(windows, cfg(feature = "windows"))]
                1 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    crate::rpc::__rt::Handling::future(
                        __ipcall_request,
                        |__ipcall_request| async move {
                            let (text,) = __ipcall_request.arguments::<(&str,)>()?;
                            let __ipcall_value = <__Service as Attributes>::length(
                                    &*__ipcall_service,
                                    text,
                                )
                                .await;
                            crate::rpc::__rt::Reply::value(&__ipcall_value)
                        },
                    )
                }
                _ => crate::rpc::__rt::Handling::unknown(__ipcall_method),
            }
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for AttributesClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for AttributesClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("AttributesClient").field(&self.stub).finish()
        }
    }
    impl AttributesClient {
        /// Connects to a server of this service.
        ///
        /// # Errors
        ///
        /// If there is no server, it refuses, or it speaks another protocol.
        pub async fn connect(
            connector: &(impl crate::rpc::__rt::Connector + ?::core::marker::Sized),
        ) -> ::core::result::Result<Self, crate::rpc::__rt::RpcError> {
            let stub = crate::rpc::__rt::Stub::connect(__ipcall_descriptor(), connector)
                .await?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// Connects to a server of this service as `options` say.
        ///
        /// # Errors
        ///
        /// If there is no server, it refuses, or it speaks another protocol.
        pub async fn connect_with(
            connector: &(impl crate::rpc::__rt::Connector + ?::core::marker::Sized),
            options: &crate::rpc::__rt::ConnectOptions,
        ) -> ::core::result::Result<Self, crate::rpc::__rt::RpcError> {
            let stub = crate::rpc::__rt::Stub::connect_with(
                    __ipcall_descriptor(),
                    connector,
                    options,
                )
                .await?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// Calls this service over a connection that others use as well.
        ///
        /// # Errors
        ///
        /// If the server at its other end has no such service.
        pub fn from_client(
            client: &crate::rpc::__rt::Client,
        ) -> ::core::result::Result<Self, crate::rpc::__rt::RpcError> {
            let stub = crate::rpc::__rt::Stub::from_client(
                __ipcall_descriptor(),
                client,
            )?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// The connection, for other services at its other end.
        pub fn client(&self) -> &crate::rpc::__rt::Client {
            self.stub.client()
        }
        /// The same client, with `options` for each of its calls.
        #[must_use]
        pub fn with_options(&self, options: crate::rpc::__rt::CallOptions) -> Self {
            Self {
                stub: self.stub.with_options(options),
            }
        }
        /// The same client, with a deadline for each of its calls.
        #[must_use]
        pub fn with_deadline(&self, deadline: ::core::time::Duration) -> Self {
            Self {
                stub: self.stub.with_deadline(deadline),
            }
        }
        /// The same client, with a token for each of its calls: when it is cancelled, they are.
        #[must_use]
        pub fn with_cancel_token(&self, token: &crate::rpc::__rt::CancelToken) -> Self {
            Self {
                stub: self.stub.with_cancel_token(token),
            }
        }
        /// The same client, with one more pair of strings beside each of its calls.
        #[must_use]
        pub fn with_metadata(
            &self,
            key: impl ::core::convert::Into<::std::string::String>,
            value: impl ::core::convert::Into<::std::string::String>,
        ) -> Self {
            Self {
                stub: self.stub.with_metadata(key, value),
            }
        }
        /// Has a body, which stays.
        #[cfg(unix)]
        pub async fn body(
            &self,
            text: &str,
        ) -> ::core::result::Result<usize, crate::rpc::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, usize>(0, &mut (text,));
            __ipcall_call.await
        }
        /// Is gone with its `cfg`.
        #[cfg_attr(windows, cfg(feature = "windows"))]
        #[deprecated]
        #[allow(non_snake_case)]
        pub async fn length(
            &self,
            text: &str,
        ) -> ::core::result::Result<usize, crate::rpc::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, usize>(1, &mut (text,));
            __ipcall_call.await
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for AttributesBlockingClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for AttributesBlockingClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("AttributesBlockingClient").field(&self.stub).finish()
        }
    }
    impl AttributesBlockingClient {
        /// Connects to a server of this service.
        ///
        /// # Errors
        ///
        /// If there is no server, it refuses, or it speaks another protocol.
        pub fn connect(
            connector: &(impl crate::rpc::__rt::Connector + ?::core::marker::Sized),
        ) -> ::core::result::Result<Self, crate::rpc::__rt::RpcError> {
            let stub = crate::rpc::__rt::BlockingStub::connect(
                __ipcall_descriptor(),
                connector,
            )?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// Connects to a server of this service as `options` say.
        ///
        /// # Errors
        ///
        /// If there is no server, it refuses, or it speaks another protocol.
        pub fn connect_with(
            connector: &(impl crate::rpc::__rt::Connector + ?::core::marker::Sized),
            options: &crate::rpc::__rt::ConnectOptions,
        ) -> ::core::result::Result<Self, crate::rpc::__rt::RpcError> {
            let stub = crate::rpc::__rt::BlockingStub::connect_with(
                __ipcall_descriptor(),
                connector,
                options,
            )?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// Calls this service over a connection that others use as well.
        ///
        /// # Errors
        ///
        /// If the server at its other end has no such service.
        pub fn from_client(
            client: &crate::rpc::__rt::BlockingClient,
        ) -> ::core::result::Result<Self, crate::rpc::__rt::RpcError> {
            let stub = crate::rpc::__rt::BlockingStub::from_client(
                __ipcall_descriptor(),
                client,
            )?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// The connection, for other services at its other end.
        pub fn client(&self) -> &crate::rpc::__rt::BlockingClient {
            self.stub.client()
        }
        /// The same client, with `options` for each of its calls.
        #[must_use]
        pub fn with_options(&self, options: crate::rpc::__rt::CallOptions) -> Self {
            Self {
                stub: self.stub.with_options(options),
            }
        }
        /// The same client, with a deadline for each of its calls.
        #[must_use]
        pub fn with_deadline(&self, deadline: ::core::time::Duration) -> Self {
            Self {
                stub: self.stub.with_deadline(deadline),
            }
        }
        /// The same client, with a token for each of its calls: when it is cancelled, they are.
        #[must_use]
        pub fn with_cancel_token(&self, token: &crate::rpc::__rt::CancelToken) -> Self {
            Self {
                stub: self.stub.with_cancel_token(token),
            }
        }
        /// The same client, with one more pair of strings beside each of its calls.
        #[must_use]
        pub fn with_metadata(
            &self,
            key: impl ::core::convert::Into<::std::string::String>,
            value: impl ::core::convert::Into<::std::string::String>,
        ) -> Self {
            Self {
                stub: self.stub.with_metadata(key, value),
            }
        }
        /// Has a body, which stays.
        #[cfg(unix)]
        pub fn body(
            &self,
            text: &str,
        ) -> ::core::result::Result<usize, crate::rpc::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, usize>(0, &mut (text,));
            __ipcall_call
        }
        /// Is gone with its `cfg`.
        #[cfg_attr(windows, cfg(feature = "windows"))]
        #[deprecated]
        #[allow(non_snake_case)]
        pub fn length(
            &self,
            text: &str,
        ) -> ::core::result::Result<usize, crate::rpc::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, usize>(1, &mut (text,));
            __ipcall_call
        }
    }
};
