trait Execution: Debug + ::core::marker::Send + ::core::marker::Sync + 'static {
    fn future(
        &self,
        cx: &Context,
        n: u32,
    ) -> impl ::core::future::Future<
        Output = Result<u32, Failure>,
    > + ::core::marker::Send;
    fn blocking(&self, cx: &Context) -> u32;
    fn inline(&self, n: u32) -> u32;
    fn oneway(&self, n: u32);
}
/// Serves an implementation of [`Execution`](trait@Execution) to other processes.
///
/// Made by `#[ipc_service]`. Clones share the one implementation.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
struct ExecutionServer<T: ?::core::marker::Sized> {
    service: ::std::sync::Arc<T>,
}
/// Calls [`Execution`](trait@Execution) in another process, from async code.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
struct ExecutionClient {
    stub: ::ipcall::__rt::Stub,
}
/// Calls [`Execution`](trait@Execution) in another process, without an async runtime; each call blocks its thread.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
struct ExecutionBlockingClient {
    stub: ::ipcall::__rt::BlockingStub,
}
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
    fn __ipcall_descriptor() -> &'static ::ipcall::__rt::ServiceDescriptor {
        static __IPCALL_DESCRIPTOR: ::std::sync::OnceLock<
            ::ipcall::__rt::ServiceDescriptor,
        > = ::std::sync::OnceLock::new();
        __IPCALL_DESCRIPTOR
            .get_or_init(|| {
                let mut __ipcall_service = ::ipcall::__rt::ServiceDescriptor::new(
                    "org.example.Execution",
                );
                __ipcall_service
                    .method(
                        0,
                        ::ipcall::__rt::MethodDescriptor::new("future")
                            .argument::<u32>("n")
                            .returns::<u32>()
                            .fails::<Failure>()
                            .context(),
                    );
                __ipcall_service
                    .method(
                        1,
                        ::ipcall::__rt::MethodDescriptor::new("blocking")
                            .returns::<u32>()
                            .context()
                            .idempotent()
                            .no_cancel()
                            .deadline(1500000000),
                    );
                __ipcall_service
                    .method(
                        2,
                        ::ipcall::__rt::MethodDescriptor::new("inline")
                            .argument::<u32>("n")
                            .returns::<u32>()
                            .inline(),
                    );
                __ipcall_service
                    .method(
                        3,
                        ::ipcall::__rt::MethodDescriptor::new("oneway")
                            .argument::<u32>("n")
                            .oneway(),
                    );
                __ipcall_service
            })
    }
    impl<__Service: Execution> ExecutionServer<__Service> {
        /// Serves `service`.
        pub fn new(service: __Service) -> Self {
            Self {
                service: ::std::sync::Arc::new(service),
            }
        }
    }
    impl<__Service: Execution + ?::core::marker::Sized> ExecutionServer<__Service> {
        /// Serves an implementation that the rest of the program shares.
        pub fn from_arc(service: ::std::sync::Arc<__Service>) -> Self {
            Self { service }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::clone::Clone
    for ExecutionServer<__Service> {
        fn clone(&self) -> Self {
            Self {
                service: ::std::sync::Arc::clone(&self.service),
            }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::fmt::Debug
    for ExecutionServer<__Service> {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_struct("ExecutionServer").finish_non_exhaustive()
        }
    }
    #[automatically_derived]
    impl<__Service: Execution + ?::core::marker::Sized> ::ipcall::__rt::Service
    for ExecutionServer<__Service> {
        fn descriptor(&self) -> &'static ::ipcall::__rt::ServiceDescriptor {
            __ipcall_descriptor()
        }
        fn call(
            &self,
            __ipcall_method: u16,
            __ipcall_request: ::ipcall::__rt::Request<'_>,
        ) -> ::ipcall::__rt::Handling {
            match __ipcall_method {
                0 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |__ipcall_request| async move {
                            let (n,) = __ipcall_request.arguments::<(u32,)>()?;
                            match <__Service as Execution>::future(
                                    &*__ipcall_service,
                                    __ipcall_request.context(),
                                    n,
                                )
                                .await
                            {
                                ::core::result::Result::Ok(__ipcall_value) => {
                                    ::ipcall::__rt::Reply::value(&__ipcall_value)
                                }
                                ::core::result::Result::Err(__ipcall_error) => {
                                    ::ipcall::__rt::Reply::error(&__ipcall_error)
                                }
                            }
                        },
                    )
                }
                1 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::blocking(
                        __ipcall_request,
                        move |__ipcall_request| {
                            let () = __ipcall_request.arguments::<()>()?;
                            let __ipcall_value = <__Service as Execution>::blocking(
                                &*__ipcall_service,
                                __ipcall_request.context(),
                            );
                            ::ipcall::__rt::Reply::value(&__ipcall_value)
                        },
                    )
                }
                2 => {
                    ::ipcall::__rt::Handling::inline(
                        __ipcall_request,
                        |__ipcall_request| {
                            let (n,) = __ipcall_request.arguments::<(u32,)>()?;
                            let __ipcall_value = <__Service as Execution>::inline(
                                &*self.service,
                                n,
                            );
                            ::ipcall::__rt::Reply::value(&__ipcall_value)
                        },
                    )
                }
                3 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::blocking(
                        __ipcall_request,
                        move |__ipcall_request| {
                            let (n,) = __ipcall_request.arguments::<(u32,)>()?;
                            <__Service as Execution>::oneway(&*__ipcall_service, n);
                            ::ipcall::__rt::Reply::none()
                        },
                    )
                }
                _ => ::ipcall::__rt::Handling::unknown(__ipcall_method),
            }
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for ExecutionClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for ExecutionClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("ExecutionClient").field(&self.stub).finish()
        }
    }
    impl ExecutionClient {
        /// Connects to a server of this service.
        ///
        /// # Errors
        ///
        /// If there is no server, it refuses, or it speaks another protocol.
        pub async fn connect(
            connector: &(impl ::ipcall::__rt::Connector + ?::core::marker::Sized),
        ) -> ::core::result::Result<Self, ::ipcall::__rt::RpcError> {
            let stub = ::ipcall::__rt::Stub::connect(__ipcall_descriptor(), connector)
                .await?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// Connects to a server of this service as `options` say.
        ///
        /// # Errors
        ///
        /// If there is no server, it refuses, or it speaks another protocol.
        pub async fn connect_with(
            connector: &(impl ::ipcall::__rt::Connector + ?::core::marker::Sized),
            options: &::ipcall::__rt::ConnectOptions,
        ) -> ::core::result::Result<Self, ::ipcall::__rt::RpcError> {
            let stub = ::ipcall::__rt::Stub::connect_with(
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
            client: &::ipcall::__rt::Client,
        ) -> ::core::result::Result<Self, ::ipcall::__rt::RpcError> {
            let stub = ::ipcall::__rt::Stub::from_client(__ipcall_descriptor(), client)?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// The connection, for other services at its other end.
        pub fn client(&self) -> &::ipcall::__rt::Client {
            self.stub.client()
        }
        /// The same client, with `options` for each of its calls.
        #[must_use]
        pub fn with_options(&self, options: ::ipcall::__rt::CallOptions) -> Self {
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
        pub fn with_cancel_token(&self, token: &::ipcall::__rt::CancelToken) -> Self {
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
        pub async fn future(
            &self,
            n: u32,
        ) -> ::core::result::Result<u32, ::ipcall::__rt::CallError<Failure>> {
            let __ipcall_call = self.stub.call_fallible::<_, u32, Failure>(0, &mut (n,));
            __ipcall_call.await
        }
        pub async fn blocking(
            &self,
        ) -> ::core::result::Result<u32, ::ipcall::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, u32>(1, &mut ());
            __ipcall_call.await
        }
        pub async fn inline(
            &self,
            n: u32,
        ) -> ::core::result::Result<u32, ::ipcall::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, u32>(2, &mut (n,));
            __ipcall_call.await
        }
        pub async fn oneway(
            &self,
            n: u32,
        ) -> ::core::result::Result<(), ::ipcall::__rt::CallError> {
            let __ipcall_call = self.stub.send::<_>(3, &mut (n,));
            __ipcall_call.await
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for ExecutionBlockingClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for ExecutionBlockingClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("ExecutionBlockingClient").field(&self.stub).finish()
        }
    }
    impl ExecutionBlockingClient {
        /// Connects to a server of this service.
        ///
        /// # Errors
        ///
        /// If there is no server, it refuses, or it speaks another protocol.
        pub fn connect(
            connector: &(impl ::ipcall::__rt::Connector + ?::core::marker::Sized),
        ) -> ::core::result::Result<Self, ::ipcall::__rt::RpcError> {
            let stub = ::ipcall::__rt::BlockingStub::connect(
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
            connector: &(impl ::ipcall::__rt::Connector + ?::core::marker::Sized),
            options: &::ipcall::__rt::ConnectOptions,
        ) -> ::core::result::Result<Self, ::ipcall::__rt::RpcError> {
            let stub = ::ipcall::__rt::BlockingStub::connect_with(
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
            client: &::ipcall::__rt::BlockingClient,
        ) -> ::core::result::Result<Self, ::ipcall::__rt::RpcError> {
            let stub = ::ipcall::__rt::BlockingStub::from_client(
                __ipcall_descriptor(),
                client,
            )?;
            ::core::result::Result::Ok(Self { stub })
        }
        /// The connection, for other services at its other end.
        pub fn client(&self) -> &::ipcall::__rt::BlockingClient {
            self.stub.client()
        }
        /// The same client, with `options` for each of its calls.
        #[must_use]
        pub fn with_options(&self, options: ::ipcall::__rt::CallOptions) -> Self {
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
        pub fn with_cancel_token(&self, token: &::ipcall::__rt::CancelToken) -> Self {
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
        pub fn future(
            &self,
            n: u32,
        ) -> ::core::result::Result<u32, ::ipcall::__rt::CallError<Failure>> {
            let __ipcall_call = self.stub.call_fallible::<_, u32, Failure>(0, &mut (n,));
            __ipcall_call
        }
        pub fn blocking(
            &self,
        ) -> ::core::result::Result<u32, ::ipcall::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, u32>(1, &mut ());
            __ipcall_call
        }
        pub fn inline(
            &self,
            n: u32,
        ) -> ::core::result::Result<u32, ::ipcall::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, u32>(2, &mut (n,));
            __ipcall_call
        }
        pub fn oneway(
            &self,
            n: u32,
        ) -> ::core::result::Result<(), ::ipcall::__rt::CallError> {
            let __ipcall_call = self.stub.send::<_>(3, &mut (n,));
            __ipcall_call
        }
    }
};
