//! What generated clients stand on: a connection, and a service's methods on it.

mod streams;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::cancel::CancelToken;
use crate::client::blocking::BlockingClient;
use crate::client::call::Call;
use crate::client::methods::Methods;
use crate::client::{CallOptions, Client, ConnectOptions, Shared};
use crate::error::{CallError, ErrorKind, RpcError};
use crate::protocol::calls::Answer;
use crate::protocol::descriptor::ServiceDescriptor;
use crate::transport::Connector;
use crate::wire::payload::{Arguments, Returns};

/// What a generated asynchronous client stands on.
#[derive(Clone, Debug)]
pub struct Stub {
    client: Client,
    methods: Methods,
}

impl Stub {
    /// Connects, as the endpoint is configured.
    ///
    /// # Errors
    /// Why there is no connection, or no such service.
    pub async fn connect<C: Connector + ?Sized>(
        descriptor: &'static ServiceDescriptor,
        connector: &C,
    ) -> Result<Self, RpcError> {
        Self::connect_with(descriptor, connector, &ConnectOptions::new()).await
    }

    /// Connects.
    ///
    /// # Errors
    /// Why there is no connection, or no such service.
    pub async fn connect_with<C: Connector + ?Sized>(
        descriptor: &'static ServiceDescriptor,
        connector: &C,
        options: &ConnectOptions,
    ) -> Result<Self, RpcError> {
        let client = Client::connect_with(connector, options).await?;
        Self::from_client(descriptor, &client)
    }

    /// Uses a connection that is there.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`].
    pub fn from_client(
        descriptor: &'static ServiceDescriptor,
        client: &Client,
    ) -> Result<Self, RpcError> {
        let methods = Methods::bind(descriptor, &client.shared().link)?;
        Ok(Self { client: client.clone(), methods })
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The same with other options for its calls.
    #[must_use]
    pub fn with_options(&self, options: CallOptions) -> Self {
        Self { client: self.client.clone(), methods: self.methods.with_options(options) }
    }

    /// The same with this deadline for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { client: self.client.clone(), methods: self.methods.with_deadline(deadline) }
    }

    /// The same with this token for its calls: they are cancelled when it is.
    #[must_use]
    pub fn with_cancel_token(&self, token: &CancelToken) -> Self {
        Self { client: self.client.clone(), methods: self.methods.with_cancel_token(token) }
    }

    /// The same with a further pair of metadata for its calls.
    #[must_use]
    pub fn with_metadata(&self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let methods = self.methods.with_metadata(key.into(), value.into());
        Self { client: self.client.clone(), methods }
    }

    /// Calls a method that cannot fail by itself.
    ///
    /// # Errors
    /// Why there is no value, or the method's own error.
    #[inline]
    pub fn call<A: Arguments, T: Returns>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> impl Future<Output = Result<T::Value, CallError>> + Send + use<'_, A, T> {
        let call = self.start(method, arguments, false);
        async move {
            let answer = match call {
                Ok(call) => self.answer(method, call.await)?,
                Err(error) => return Err(error.into()),
            };
            self.methods.value::<T>(&self.client.shared().link, method, answer)
        }
    }

    /// Calls a method with an error of its own.
    ///
    /// # Errors
    /// Why there is no value, or the method's own error.
    #[inline]
    pub fn call_fallible<A: Arguments, T: Returns, E: DeserializeOwned>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> impl Future<Output = Result<T::Value, CallError<E>>> + Send + use<'_, A, T, E> {
        let call = self.start(method, arguments, false);
        async move {
            let answer = match call {
                Ok(call) => self.answer(method, call.await)?,
                Err(error) => return Err(error.into()),
            };
            self.methods.result::<T, E>(&self.client.shared().link, method, answer)
        }
    }

    /// Calls a method that gives no reply. Done when the call is on its way.
    ///
    /// # Errors
    /// Why it could not be sent.
    #[inline]
    pub fn send<A: Arguments>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> impl Future<Output = Result<(), CallError>> + Send + use<'_, A> {
        let call = self.start(method, arguments, true);
        async move {
            match call?.await {
                Ok(_) => Ok(()),
                Err(error) => Err(self.methods.failed(method, error).into()),
            }
        }
    }

    #[inline]
    fn start<A: Arguments>(
        &self,
        method: u16,
        arguments: &mut A,
        oneway: bool,
    ) -> Result<Call<&Arc<Shared>>, RpcError> {
        let shared = self.client.shared();
        let prepared = self.methods.prepare(&shared.link, method, arguments)?;
        Ok(Call::new(shared, prepared, oneway))
    }

    #[inline]
    fn answer(
        &self,
        method: u16,
        ended: Result<Option<Answer>, RpcError>,
    ) -> Result<Answer, RpcError> {
        match ended {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(RpcError::not_executed(ErrorKind::Cancelled)),
            Err(error) => Err(self.methods.failed(method, error)),
        }
    }
}

/// What a generated blocking client stands on.
#[derive(Clone, Debug)]
pub struct BlockingStub {
    client: BlockingClient,
    methods: Methods,
}

impl BlockingStub {
    /// Connects, as the endpoint is configured.
    ///
    /// # Errors
    /// Why there is no connection, or no such service.
    pub fn connect<C: Connector + ?Sized>(
        descriptor: &'static ServiceDescriptor,
        connector: &C,
    ) -> Result<Self, RpcError> {
        Self::connect_with(descriptor, connector, &ConnectOptions::new())
    }

    /// Connects.
    ///
    /// # Errors
    /// Why there is no connection, or no such service.
    pub fn connect_with<C: Connector + ?Sized>(
        descriptor: &'static ServiceDescriptor,
        connector: &C,
        options: &ConnectOptions,
    ) -> Result<Self, RpcError> {
        let client = BlockingClient::connect_with(connector, options)?;
        Self::from_client(descriptor, &client)
    }

    /// Uses a connection that is there.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownService`].
    pub fn from_client(
        descriptor: &'static ServiceDescriptor,
        client: &BlockingClient,
    ) -> Result<Self, RpcError> {
        let methods = Methods::bind(descriptor, client.link())?;
        Ok(Self { client: client.clone(), methods })
    }

    /// The connection.
    pub fn client(&self) -> &BlockingClient {
        &self.client
    }

    /// The same with other options for its calls.
    #[must_use]
    pub fn with_options(&self, options: CallOptions) -> Self {
        Self { client: self.client.clone(), methods: self.methods.with_options(options) }
    }

    /// The same with this deadline for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { client: self.client.clone(), methods: self.methods.with_deadline(deadline) }
    }

    /// The same with this token for its calls: they are cancelled when it is.
    #[must_use]
    pub fn with_cancel_token(&self, token: &CancelToken) -> Self {
        Self { client: self.client.clone(), methods: self.methods.with_cancel_token(token) }
    }

    /// The same with a further pair of metadata for its calls.
    #[must_use]
    pub fn with_metadata(&self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let methods = self.methods.with_metadata(key.into(), value.into());
        Self { client: self.client.clone(), methods }
    }

    /// Calls a method that cannot fail by itself.
    ///
    /// # Errors
    /// Why there is no value.
    #[inline]
    pub fn call<A: Arguments, T: Returns>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> Result<T::Value, CallError> {
        let answer = self.answer(method, arguments)?;
        self.methods.value::<T>(self.client.link(), method, answer)
    }

    /// Calls a method with an error of its own.
    ///
    /// # Errors
    /// The method's error, or why there is no answer.
    #[inline]
    pub fn call_fallible<A: Arguments, T: Returns, E: DeserializeOwned>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> Result<T::Value, CallError<E>> {
        let answer = self.answer(method, arguments)?;
        self.methods.result::<T, E>(self.client.link(), method, answer)
    }

    /// Calls a method that gives no reply. Done when the call is written.
    ///
    /// # Errors
    /// Why it could not be written.
    #[inline]
    pub fn send<A: Arguments>(&self, method: u16, arguments: &mut A) -> Result<(), CallError> {
        let prepared = self.methods.prepare(self.client.link(), method, arguments)?;
        self.client.send(prepared).map_err(|error| self.methods.failed(method, error).into())
    }

    #[inline]
    fn answer<A: Arguments>(&self, method: u16, arguments: &mut A) -> Result<Answer, RpcError> {
        let prepared = self.methods.prepare(self.client.link(), method, arguments)?;
        self.client.call(prepared).map_err(|error| self.methods.failed(method, error))
    }
}
