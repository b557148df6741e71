pub(crate) trait Shapes: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn borrowed(
        &self,
        text: &str,
        bytes: &[u8],
        maybe: Option<&str>,
        words: Vec<&str>,
    ) -> impl ::core::future::Future<Output = ()> + ::core::marker::Send;
    fn lent(
        &self,
        point: &Point,
        points: &[Point],
        maybe: Option<&Point>,
        some: Option<&[Point]>,
    ) -> impl ::core::future::Future<Output = ()> + ::core::marker::Send;
    fn bytes(
        &self,
        bytes: Vec<u8>,
        maybe: Option<Vec<u8>>,
        part: Option<&[u8]>,
    ) -> impl ::core::future::Future<Output = Option<Vec<u8>>> + ::core::marker::Send;
    fn cow(
        &self,
        text: Cow<'_, str>,
        bytes: Cow<'_, [u8]>,
        owned: Cow<'static, str>,
    ) -> impl ::core::future::Future<Output = Vec<u8>> + ::core::marker::Send;
    fn path(
        &self,
        r#type: &Path,
    ) -> impl ::core::future::Future<
        Output = Result<Vec<u8>, PathBuf>,
    > + ::core::marker::Send;
}
/// Serves an implementation of [`Shapes`](trait@Shapes) to other processes.
///
/// Made by `#[ipc_service]`. Clones share the one implementation.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub(crate) struct ShapesServer<T: ?::core::marker::Sized> {
    service: ::std::sync::Arc<T>,
}
/// Calls [`Shapes`](trait@Shapes) in another process, from async code.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub(crate) struct ShapesClient {
    stub: ::ipcall::__rt::Stub,
}
/// Calls [`Shapes`](trait@Shapes) in another process, without an async runtime; each call blocks its thread.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub(crate) struct ShapesBlockingClient {
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
                    "Shapes",
                );
                __ipcall_service
                    .method(
                        0,
                        ::ipcall::__rt::MethodDescriptor::new("borrowed")
                            .argument::<&str>("text")
                            .argument::<&[u8]>("bytes")
                            .argument::<Option<&str>>("maybe")
                            .argument::<Vec<&str>>("words")
                            .returns::<()>(),
                    );
                __ipcall_service
                    .method(
                        1,
                        ::ipcall::__rt::MethodDescriptor::new("lent")
                            .argument::<Point>("point")
                            .argument::<::std::vec::Vec<Point>>("points")
                            .argument::<::core::option::Option<Point>>("maybe")
                            .argument::<
                                ::core::option::Option<::std::vec::Vec<Point>>,
                            >("some")
                            .returns::<()>(),
                    );
                __ipcall_service
                    .method(
                        2,
                        ::ipcall::__rt::MethodDescriptor::new("bytes")
                            .argument::<::ipcall::__rt::ByteBuf>("bytes")
                            .argument::<
                                ::core::option::Option<::ipcall::__rt::ByteBuf>,
                            >("maybe")
                            .argument::<Option<&[u8]>>("part")
                            .returns::<::core::option::Option<::ipcall::__rt::ByteBuf>>(),
                    );
                __ipcall_service
                    .method(
                        3,
                        ::ipcall::__rt::MethodDescriptor::new("cow")
                            .argument::<&str>("text")
                            .argument::<&[u8]>("bytes")
                            .argument::<Cow<'static, str>>("owned")
                            .returns::<::ipcall::__rt::ByteBuf>(),
                    );
                __ipcall_service
                    .method(
                        4,
                        ::ipcall::__rt::MethodDescriptor::new("path")
                            .argument::<&Path>("type")
                            .returns::<::ipcall::__rt::ByteBuf>()
                            .fails::<PathBuf>(),
                    );
                __ipcall_service
            })
    }
    impl<__Service: Shapes> ShapesServer<__Service> {
        /// Serves `service`.
        pub fn new(service: __Service) -> Self {
            Self {
                service: ::std::sync::Arc::new(service),
            }
        }
    }
    impl<__Service: Shapes + ?::core::marker::Sized> ShapesServer<__Service> {
        /// Serves an implementation that the rest of the program shares.
        pub fn from_arc(service: ::std::sync::Arc<__Service>) -> Self {
            Self { service }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::clone::Clone
    for ShapesServer<__Service> {
        fn clone(&self) -> Self {
            Self {
                service: ::std::sync::Arc::clone(&self.service),
            }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::fmt::Debug
    for ShapesServer<__Service> {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_struct("ShapesServer").finish_non_exhaustive()
        }
    }
    #[automatically_derived]
    impl<__Service: Shapes + ?::core::marker::Sized> ::ipcall::__rt::Service
    for ShapesServer<__Service> {
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
                            let (text, bytes, maybe, words) = __ipcall_request
                                .arguments::<(&str, &[u8], Option<&str>, Vec<&str>)>()?;
                            <__Service as Shapes>::borrowed(
                                    &*__ipcall_service,
                                    text,
                                    bytes,
                                    maybe,
                                    words,
                                )
                                .await;
                            ::ipcall::__rt::Reply::value(&())
                        },
                    )
                }
                1 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |__ipcall_request| async move {
                            let (point, points, maybe, some) = __ipcall_request
                                .arguments::<
                                    (
                                        Point,
                                        ::std::vec::Vec<Point>,
                                        ::core::option::Option<Point>,
                                        ::core::option::Option<::std::vec::Vec<Point>>,
                                    ),
                                >()?;
                            <__Service as Shapes>::lent(
                                    &*__ipcall_service,
                                    &point,
                                    &points,
                                    maybe.as_ref(),
                                    some.as_deref(),
                                )
                                .await;
                            ::ipcall::__rt::Reply::value(&())
                        },
                    )
                }
                2 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |__ipcall_request| async move {
                            let (bytes, maybe, part) = __ipcall_request
                                .arguments::<
                                    (
                                        ::ipcall::__rt::ByteBuf,
                                        ::core::option::Option<::ipcall::__rt::ByteBuf>,
                                        Option<&[u8]>,
                                    ),
                                >()?;
                            let __ipcall_value = <__Service as Shapes>::bytes(
                                    &*__ipcall_service,
                                    ::ipcall::__rt::ByteBuf::into_vec(bytes),
                                    maybe.map(::ipcall::__rt::ByteBuf::into_vec),
                                    part,
                                )
                                .await;
                            ::ipcall::__rt::Reply::value(
                                &__ipcall_value.as_deref().map(::ipcall::__rt::Bytes::new),
                            )
                        },
                    )
                }
                3 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |__ipcall_request| async move {
                            let (text, bytes, owned) = __ipcall_request
                                .arguments::<(&str, &[u8], Cow<'static, str>)>()?;
                            let __ipcall_value = <__Service as Shapes>::cow(
                                    &*__ipcall_service,
                                    ::core::convert::Into::into(text),
                                    ::core::convert::Into::into(bytes),
                                    owned,
                                )
                                .await;
                            ::ipcall::__rt::Reply::bytes(__ipcall_value)
                        },
                    )
                }
                4 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |__ipcall_request| async move {
                            let (r#type,) = __ipcall_request.arguments::<(&Path,)>()?;
                            match <__Service as Shapes>::path(&*__ipcall_service, r#type)
                                .await
                            {
                                ::core::result::Result::Ok(__ipcall_value) => {
                                    ::ipcall::__rt::Reply::bytes(__ipcall_value)
                                }
                                ::core::result::Result::Err(__ipcall_error) => {
                                    ::ipcall::__rt::Reply::error(&__ipcall_error)
                                }
                            }
                        },
                    )
                }
                _ => ::ipcall::__rt::Handling::unknown(__ipcall_method),
            }
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for ShapesClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for ShapesClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("ShapesClient").field(&self.stub).finish()
        }
    }
    impl ShapesClient {
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
        pub async fn borrowed(
            &self,
            text: &str,
            bytes: &[u8],
            maybe: Option<&str>,
            words: Vec<&str>,
        ) -> ::core::result::Result<(), ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .call::<
                    _,
                    (),
                >(0, &mut (text, ::ipcall::__rt::Bytes::new(bytes), maybe, words));
            __ipcall_call.await
        }
        pub async fn lent(
            &self,
            point: &Point,
            points: &[Point],
            maybe: Option<&Point>,
            some: Option<&[Point]>,
        ) -> ::core::result::Result<(), ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .call::<_, ()>(1, &mut (point, points, maybe, some));
            __ipcall_call.await
        }
        pub async fn bytes(
            &self,
            bytes: Vec<u8>,
            maybe: Option<Vec<u8>>,
            part: Option<&[u8]>,
        ) -> ::core::result::Result<Option<Vec<u8>>, ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .call::<
                    _,
                    ::core::option::Option<::ipcall::__rt::ByteBuf>,
                >(
                    2,
                    &mut (
                        ::ipcall::__rt::ByteBuf::from(bytes),
                        maybe.map(::ipcall::__rt::ByteBuf::from),
                        part.map(::ipcall::__rt::Bytes::new),
                    ),
                );
            __ipcall_call
                .await
                .map(|__ipcall_bytes: ::core::option::Option<::ipcall::__rt::ByteBuf>| {
                    __ipcall_bytes.map(::ipcall::__rt::ByteBuf::into_vec)
                })
        }
        pub async fn cow(
            &self,
            text: Cow<'_, str>,
            bytes: Cow<'_, [u8]>,
            owned: Cow<'static, str>,
        ) -> ::core::result::Result<Vec<u8>, ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .call::<
                    _,
                    ::ipcall::__rt::Taken,
                >(3, &mut (text, ::ipcall::__rt::Bytes::new(&bytes), owned));
            __ipcall_call.await
        }
        pub async fn path(
            &self,
            r#type: &Path,
        ) -> ::core::result::Result<Vec<u8>, ::ipcall::__rt::CallError<PathBuf>> {
            let __ipcall_call = self
                .stub
                .call_fallible::<_, ::ipcall::__rt::Taken, PathBuf>(4, &mut (r#type,));
            __ipcall_call.await
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for ShapesBlockingClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for ShapesBlockingClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("ShapesBlockingClient").field(&self.stub).finish()
        }
    }
    impl ShapesBlockingClient {
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
        pub fn borrowed(
            &self,
            text: &str,
            bytes: &[u8],
            maybe: Option<&str>,
            words: Vec<&str>,
        ) -> ::core::result::Result<(), ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .call::<
                    _,
                    (),
                >(0, &mut (text, ::ipcall::__rt::Bytes::new(bytes), maybe, words));
            __ipcall_call
        }
        pub fn lent(
            &self,
            point: &Point,
            points: &[Point],
            maybe: Option<&Point>,
            some: Option<&[Point]>,
        ) -> ::core::result::Result<(), ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .call::<_, ()>(1, &mut (point, points, maybe, some));
            __ipcall_call
        }
        pub fn bytes(
            &self,
            bytes: Vec<u8>,
            maybe: Option<Vec<u8>>,
            part: Option<&[u8]>,
        ) -> ::core::result::Result<Option<Vec<u8>>, ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .call::<
                    _,
                    ::core::option::Option<::ipcall::__rt::ByteBuf>,
                >(
                    2,
                    &mut (
                        ::ipcall::__rt::ByteBuf::from(bytes),
                        maybe.map(::ipcall::__rt::ByteBuf::from),
                        part.map(::ipcall::__rt::Bytes::new),
                    ),
                );
            __ipcall_call
                .map(|__ipcall_bytes: ::core::option::Option<::ipcall::__rt::ByteBuf>| {
                    __ipcall_bytes.map(::ipcall::__rt::ByteBuf::into_vec)
                })
        }
        pub fn cow(
            &self,
            text: Cow<'_, str>,
            bytes: Cow<'_, [u8]>,
            owned: Cow<'static, str>,
        ) -> ::core::result::Result<Vec<u8>, ::ipcall::__rt::CallError> {
            let __ipcall_call = self
                .stub
                .call::<
                    _,
                    ::ipcall::__rt::Taken,
                >(3, &mut (text, ::ipcall::__rt::Bytes::new(&bytes), owned));
            __ipcall_call
        }
        pub fn path(
            &self,
            r#type: &Path,
        ) -> ::core::result::Result<Vec<u8>, ::ipcall::__rt::CallError<PathBuf>> {
            let __ipcall_call = self
                .stub
                .call_fallible::<_, ::ipcall::__rt::Taken, PathBuf>(4, &mut (r#type,));
            __ipcall_call
        }
    }
};
