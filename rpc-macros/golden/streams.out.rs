trait Streams: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn lines(
        &self,
        path: &str,
    ) -> impl Stream<Item = Result<String, Failure>> + ::core::marker::Send;
    fn chunks(
        &self,
    ) -> impl ::core::future::Future<
        Output = impl Stream<Item = Vec<u8>> + ::core::marker::Send,
    > + ::core::marker::Send;
    fn upload(
        &self,
        name: &str,
        chunks: ::ipcall::__rt::Incoming<Vec<u8>>,
    ) -> impl ::core::future::Future<
        Output = Result<u64, Failure>,
    > + ::core::marker::Send;
    fn note(&self, cx: &Context, words: ::ipcall::__rt::Incoming<Word>);
    fn translate(
        &self,
        words: ::ipcall::__rt::Incoming<Word>,
    ) -> impl Stream<Item = Word> + ::core::marker::Send;
}
/// Serves an implementation of [`Streams`](trait@Streams) to other processes.
///
/// Made by `#[ipc_service]`. Clones share the one implementation.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
struct StreamsServer<T: ?::core::marker::Sized> {
    service: ::std::sync::Arc<T>,
}
/// Calls [`Streams`](trait@Streams) in another process, from async code.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
struct StreamsClient {
    stub: ::ipcall::__rt::Stub,
}
/// Calls [`Streams`](trait@Streams) in another process, without an async runtime; each call blocks its thread.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
struct StreamsBlockingClient {
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
                    "Streams",
                );
                __ipcall_service
                    .method(
                        0,
                        ::ipcall::__rt::MethodDescriptor::new("lines")
                            .argument::<&str>("path")
                            .streams::<String>()
                            .fails::<Failure>(),
                    );
                __ipcall_service
                    .method(
                        1,
                        ::ipcall::__rt::MethodDescriptor::new("chunks")
                            .streams::<::ipcall::__rt::ByteBuf>(),
                    );
                __ipcall_service
                    .method(
                        2,
                        ::ipcall::__rt::MethodDescriptor::new("upload")
                            .argument::<&str>("name")
                            .stream_argument::<::ipcall::__rt::ByteBuf>("chunks")
                            .returns::<u64>()
                            .fails::<Failure>(),
                    );
                __ipcall_service
                    .method(
                        3,
                        ::ipcall::__rt::MethodDescriptor::new("note")
                            .stream_argument::<Word>("words")
                            .returns::<()>()
                            .context(),
                    );
                __ipcall_service
                    .method(
                        4,
                        ::ipcall::__rt::MethodDescriptor::new("translate")
                            .stream_argument::<Word>("words")
                            .streams::<Word>(),
                    );
                __ipcall_service
            })
    }
    impl<__Service: Streams> StreamsServer<__Service> {
        /// Serves `service`.
        pub fn new(service: __Service) -> Self {
            Self {
                service: ::std::sync::Arc::new(service),
            }
        }
    }
    impl<__Service: Streams + ?::core::marker::Sized> StreamsServer<__Service> {
        /// Serves an implementation that the rest of the program shares.
        pub fn from_arc(service: ::std::sync::Arc<__Service>) -> Self {
            Self { service }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::clone::Clone
    for StreamsServer<__Service> {
        fn clone(&self) -> Self {
            Self {
                service: ::std::sync::Arc::clone(&self.service),
            }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::fmt::Debug
    for StreamsServer<__Service> {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_struct("StreamsServer").finish_non_exhaustive()
        }
    }
    #[automatically_derived]
    impl<__Service: Streams + ?::core::marker::Sized> ::ipcall::__rt::Service
    for StreamsServer<__Service> {
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
                        |mut __ipcall_request| async move {
                            let __ipcall_results = __ipcall_request.results()?;
                            let (path,) = __ipcall_request.arguments::<(&str,)>()?;
                            __ipcall_results
                                .send_fallible::<
                                    ::ipcall::__rt::Plain,
                                    _,
                                    _,
                                    _,
                                >(<__Service as Streams>::lines(&*__ipcall_service, path))
                                .await
                        },
                    )
                }
                1 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |mut __ipcall_request| async move {
                            let __ipcall_results = __ipcall_request.results()?;
                            let () = __ipcall_request.arguments::<()>()?;
                            __ipcall_results
                                .send::<
                                    ::ipcall::__rt::ByteStrings,
                                    _,
                                >(<__Service as Streams>::chunks(&*__ipcall_service).await)
                                .await
                        },
                    )
                }
                2 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |mut __ipcall_request| async move {
                            let chunks = __ipcall_request
                                .incoming::<::ipcall::__rt::ByteStrings, Vec<u8>>()?;
                            let (name,) = __ipcall_request.arguments::<(&str,)>()?;
                            match <__Service as Streams>::upload(
                                    &*__ipcall_service,
                                    name,
                                    chunks,
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
                3 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::blocking(
                        __ipcall_request,
                        move |mut __ipcall_request| {
                            let words = __ipcall_request
                                .incoming::<::ipcall::__rt::Plain, Word>()?;
                            let () = __ipcall_request.arguments::<()>()?;
                            <__Service as Streams>::note(
                                &*__ipcall_service,
                                __ipcall_request.context(),
                                words,
                            );
                            ::ipcall::__rt::Reply::value(&())
                        },
                    )
                }
                4 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |mut __ipcall_request| async move {
                            let words = __ipcall_request
                                .incoming::<::ipcall::__rt::Plain, Word>()?;
                            let __ipcall_results = __ipcall_request.results()?;
                            let () = __ipcall_request.arguments::<()>()?;
                            __ipcall_results
                                .send::<
                                    ::ipcall::__rt::Plain,
                                    _,
                                >(
                                    <__Service as Streams>::translate(&*__ipcall_service, words),
                                )
                                .await
                        },
                    )
                }
                _ => ::ipcall::__rt::Handling::unknown(__ipcall_method),
            }
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for StreamsClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for StreamsClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("StreamsClient").field(&self.stub).finish()
        }
    }
    impl StreamsClient {
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
        pub async fn lines(
            &self,
            path: &str,
        ) -> ::core::result::Result<
            ::ipcall::__rt::ItemStream<String, Failure>,
            ::ipcall::__rt::CallError<Failure>,
        > {
            let __ipcall_call = self
                .stub
                .stream_fallible::<
                    _,
                    ::ipcall::__rt::Plain,
                    String,
                    Failure,
                >(0, &mut (path,));
            __ipcall_call.await
        }
        pub async fn chunks(
            &self,
        ) -> ::core::result::Result<
            ::ipcall::__rt::ItemStream<Vec<u8>>,
            ::ipcall::__rt::CallError,
        > {
            let __ipcall_call = self
                .stub
                .stream::<_, ::ipcall::__rt::ByteStrings, Vec<u8>>(1, &mut ());
            __ipcall_call.await
        }
        pub async fn upload(
            &self,
            name: &str,
            chunks: impl Stream<Item = Vec<u8>>,
        ) -> ::core::result::Result<u64, ::ipcall::__rt::CallError<Failure>> {
            let __ipcall_call = self
                .stub
                .upload_fallible::<
                    _,
                    ::ipcall::__rt::ByteStrings,
                    _,
                    u64,
                    Failure,
                >(2, &mut (name,), chunks);
            __ipcall_call.await
        }
        pub async fn note(
            &self,
            words: impl Stream<Item = Word>,
        ) -> ::core::result::Result<(), ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .upload::<_, ::ipcall::__rt::Plain, _, ()>(3, &mut (), words);
            __ipcall_call.await
        }
        pub async fn translate(
            &self,
            words: impl ipcall::Stream<Item = Word> + ::core::marker::Send + 'static,
        ) -> ::core::result::Result<
            ::ipcall::__rt::ItemStream<Word>,
            ::ipcall::__rt::CallError,
        > {
            let __ipcall_call = self
                .stub
                .converse::<
                    _,
                    ::ipcall::__rt::Plain,
                    _,
                    ::ipcall::__rt::Plain,
                    Word,
                >(4, &mut (), words);
            __ipcall_call.await
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for StreamsBlockingClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for StreamsBlockingClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("StreamsBlockingClient").field(&self.stub).finish()
        }
    }
    impl StreamsBlockingClient {
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
        pub fn lines(
            &self,
            path: &str,
        ) -> ::core::result::Result<
            ::ipcall::__rt::Items<String, Failure>,
            ::ipcall::__rt::CallError<Failure>,
        > {
            let __ipcall_call = self
                .stub
                .stream_fallible::<
                    _,
                    ::ipcall::__rt::Plain,
                    String,
                    Failure,
                >(0, &mut (path,));
            __ipcall_call
        }
        pub fn chunks(
            &self,
        ) -> ::core::result::Result<
            ::ipcall::__rt::Items<Vec<u8>>,
            ::ipcall::__rt::CallError,
        > {
            let __ipcall_call = self
                .stub
                .stream::<_, ::ipcall::__rt::ByteStrings, Vec<u8>>(1, &mut ());
            __ipcall_call
        }
        pub fn upload(
            &self,
            name: &str,
            chunks: impl ::core::iter::IntoIterator<Item = Vec<u8>>,
        ) -> ::core::result::Result<u64, ::ipcall::__rt::CallError<Failure>> {
            let __ipcall_call = self
                .stub
                .upload_fallible::<
                    _,
                    ::ipcall::__rt::ByteStrings,
                    _,
                    u64,
                    Failure,
                >(2, &mut (name,), chunks);
            __ipcall_call
        }
        pub fn note(
            &self,
            words: impl ::core::iter::IntoIterator<Item = Word>,
        ) -> ::core::result::Result<(), ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .upload::<_, ::ipcall::__rt::Plain, _, ()>(3, &mut (), words);
            __ipcall_call
        }
        pub fn translate(
            &self,
            words: impl ::core::iter::IntoIterator<
                Item = Word,
                IntoIter: ::core::marker::Send + 'static,
            >,
        ) -> ::core::result::Result<
            ::ipcall::__rt::Items<Word>,
            ::ipcall::__rt::CallError,
        > {
            let __ipcall_call = self
                .stub
                .converse::<
                    _,
                    ::ipcall::__rt::Plain,
                    _,
                    ::ipcall::__rt::Plain,
                    Word,
                >(4, &mut (), words);
            __ipcall_call
        }
    }
};
