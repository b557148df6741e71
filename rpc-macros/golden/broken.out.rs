::core::compile_error! {
    "unknown key: the keys are `crate = \"path\"` and `name = \"..\"`"
}
::core::compile_error! {
    "a service trait cannot have constants: write it outside, or make it a method without arguments"
}
::core::compile_error! {
    "unknown key: the keys are `inline`, `oneway`, `idempotent`, `no_cancel` and `deadline = \"5s\"`"
}
::core::compile_error! {
    "an argument cannot be a pattern: give it a name, and take it apart in the implementation"
}
::core::compile_error! {
    "calls run concurrently, so a method takes `&self`: keep what changes in a `Mutex` or an atomic"
}
::core::compile_error! {
    "a result cannot borrow, as it goes to another process: write an owned type, such as `String` for `&str`"
}
pub trait Broken: ::core::marker::Send + ::core::marker::Sync + 'static {
    const LIMIT: usize;
    fn first(
        &self,
        _: (u8, u8),
    ) -> impl ::core::future::Future<Output = ()> + ::core::marker::Send;
    fn second(
        &mut self,
    ) -> impl ::core::future::Future<Output = &str> + ::core::marker::Send;
    fn third(&self) -> impl ::core::future::Future<Output = u8> + ::core::marker::Send;
}
/// Serves an implementation of [`Broken`](trait@Broken) to other processes.
///
/// Made by `#[ipc_service]`. Clones share the one implementation.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub struct BrokenServer<T: ?::core::marker::Sized> {
    service: ::std::sync::Arc<T>,
}
/// Calls [`Broken`](trait@Broken) in another process, from async code.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub struct BrokenClient {
    stub: ::ipcall::__rt::Stub,
}
/// Calls [`Broken`](trait@Broken) in another process, without an async runtime; each call blocks its thread.
///
/// Made by `#[ipc_service]`. Clones share the one connection.
#[allow(dead_code, non_camel_case_types, reason = "generated with its trait")]
pub struct BrokenBlockingClient {
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
                    "Broken",
                );
                __ipcall_service
                    .method(
                        2,
                        ::ipcall::__rt::MethodDescriptor::new("third").returns::<u8>(),
                    );
                __ipcall_service
            })
    }
    impl<__Service: Broken> BrokenServer<__Service> {
        /// Serves `service`.
        pub fn new(service: __Service) -> Self {
            Self {
                service: ::std::sync::Arc::new(service),
            }
        }
    }
    impl<__Service: Broken + ?::core::marker::Sized> BrokenServer<__Service> {
        /// Serves an implementation that the rest of the program shares.
        pub fn from_arc(service: ::std::sync::Arc<__Service>) -> Self {
            Self { service }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::clone::Clone
    for BrokenServer<__Service> {
        fn clone(&self) -> Self {
            Self {
                service: ::std::sync::Arc::clone(&self.service),
            }
        }
    }
    #[automatically_derived]
    impl<__Service: ?::core::marker::Sized> ::core::fmt::Debug
    for BrokenServer<__Service> {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_struct("BrokenServer").finish_non_exhaustive()
        }
    }
    #[automatically_derived]
    impl<__Service: Broken + ?::core::marker::Sized> ::ipcall::__rt::Service
    for BrokenServer<__Service> {
        fn descriptor(&self) -> &'static ::ipcall::__rt::ServiceDescriptor {
            __ipcall_descriptor()
        }
        fn call(
            &self,
            __ipcall_method: u16,
            __ipcall_request: ::ipcall::__rt::Request<'_>,
        ) -> ::ipcall::__rt::Handling {
            match __ipcall_method {
                2 => {
                    let __ipcall_service = ::std::sync::Arc::clone(&self.service);
                    ::ipcall::__rt::Handling::future(
                        __ipcall_request,
                        |__ipcall_request| async move {
                            let () = __ipcall_request.arguments::<()>()?;
                            let __ipcall_value = <__Service as Broken>::third(
                                    &*__ipcall_service,
                                )
                                .await;
                            ::ipcall::__rt::Reply::value(&__ipcall_value)
                        },
                    )
                }
                _ => ::ipcall::__rt::Handling::unknown(__ipcall_method),
            }
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for BrokenClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for BrokenClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("BrokenClient").field(&self.stub).finish()
        }
    }
    impl BrokenClient {
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
        pub async fn third(
            &self,
        ) -> ::core::result::Result<u8, ::ipcall::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, u8>(2, &mut ());
            __ipcall_call.await
        }
    }
    #[automatically_derived]
    impl ::core::clone::Clone for BrokenBlockingClient {
        fn clone(&self) -> Self {
            Self {
                stub: ::core::clone::Clone::clone(&self.stub),
            }
        }
    }
    #[automatically_derived]
    impl ::core::fmt::Debug for BrokenBlockingClient {
        fn fmt(
            &self,
            formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            formatter.debug_tuple("BrokenBlockingClient").field(&self.stub).finish()
        }
    }
    impl BrokenBlockingClient {
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
        pub fn third(&self) -> ::core::result::Result<u8, ::ipcall::__rt::CallError> {
            let __ipcall_call = self.stub.call::<_, u8>(2, &mut ());
            __ipcall_call
        }
    }
};
