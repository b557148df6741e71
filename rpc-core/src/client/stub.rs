//! What generated clients stand on: a service's methods bound to their numbers on one connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::blocking::BlockingClient;
use crate::client::call::Call;
use crate::client::link::{Link, Prepared};
use crate::client::{CallOptions, Client, ConnectOptions};
use crate::error::{CallError, ErrorKind, Outcome, RpcError};
use crate::protocol::calls::Answer;
use crate::protocol::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::protocol::failure::{self, METHOD_ERROR, OK};
use crate::protocol::hello::{self, Binding, ErrorKindText};
use crate::transport::Connector;
use crate::wire::{payload, scratch};

/// A service's methods on one connection, with the options of the calls to come.
#[derive(Clone, Debug)]
struct Methods {
    descriptor: &'static ServiceDescriptor,
    bindings: Arc<[Binding]>,
    options: CallOptions,
}

impl Methods {
    fn bind(descriptor: &'static ServiceDescriptor, link: &Link) -> Result<Self, RpcError> {
        let bindings =
            hello::bind(descriptor, &link.theirs).map_err(|error| error.at(&link.uri))?;
        Ok(Self { descriptor, bindings: bindings.into(), options: CallOptions::new() })
    }

    fn with_deadline(&self, deadline: Duration) -> Self {
        Self { options: self.options.clone().deadline(deadline), ..self.clone() }
    }

    fn with_metadata(&self, key: String, value: String) -> Self {
        Self { options: self.options.clone().metadata(key, value), ..self.clone() }
    }

    fn method(&self, index: u16) -> Option<&'static MethodDescriptor> {
        self.descriptor.at(index)
    }

    /// Encodes a call of the method at `index` in the trait.
    #[inline]
    fn prepare<A: Serialize>(
        &self,
        link: &Link,
        index: u16,
        arguments: &A,
    ) -> Result<Prepared, RpcError> {
        let Some(method) = self.method(index) else { return Err(self.unusable(link, index)) };
        let Some(Binding::Number(number)) = self.bindings.get(usize::from(index)) else {
            return Err(self.unusable(link, index));
        };
        let deadline = self.options.deadline.or(method.default_deadline());
        let budget = deadline.or(link.settings.deadline).filter(|_| !method.is_oneway());
        let metadata = self.options.encoded_metadata()?;
        link.prepare(*number, method.is_oneway(), budget, metadata, arguments)
            .map_err(|error| error.at(&link.uri).in_method(method.name()))
    }

    #[cold]
    fn unusable(&self, link: &Link, index: u16) -> RpcError {
        let name = self.method(index).map_or("?", MethodDescriptor::name);
        let method = format!("{}.{name}", self.descriptor.name());
        let kind = match self.bindings.get(usize::from(index)) {
            Some(Binding::Unusable(why)) => match &**why {
                ErrorKindText::Differs { ours, theirs } => {
                    ErrorKind::Incompatible { method, ours: ours.clone(), theirs: theirs.clone() }
                }
                ErrorKindText::Unknown => ErrorKind::UnknownMethod { method },
            },
            _ => ErrorKind::UnknownMethod { method },
        };
        RpcError::not_executed(kind).at(&link.uri)
    }

    /// The value, or the error that is not the method's own. `Err(Ok(payload))` is the method's.
    fn open<T: DeserializeOwned>(
        &self,
        link: &Link,
        index: u16,
        answer: Answer,
    ) -> Result<T, Result<Vec<u8>, RpcError>> {
        let Answer { status, payload } = answer;
        match status {
            OK => self.decode(link, index, payload).map_err(Err),
            METHOD_ERROR => Err(Ok(payload)),
            _ => {
                let name = self.method(index).map_or("?", MethodDescriptor::name);
                let error = failure::to_error(status, &payload, name, &link.settings.limits.decode);
                Err(Err(error.at(&link.uri).in_method(name)))
            }
        }
    }

    #[inline]
    fn decode<T: DeserializeOwned>(
        &self,
        link: &Link,
        index: u16,
        payload: Vec<u8>,
    ) -> Result<T, RpcError> {
        let decoded = payload::decode(&payload, &link.settings.limits.decode);
        scratch::give(payload);
        decoded.map_err(|error| {
            let name = self.method(index).map_or("?", MethodDescriptor::name);
            let reason = format!("the result cannot be decoded: {error}");
            RpcError::new(ErrorKind::Codec { reason }, Outcome::Executed)
                .at(&link.uri)
                .in_method(name)
        })
    }

    /// What an answer means to a method that cannot fail by itself.
    fn value<T: DeserializeOwned>(
        &self,
        link: &Link,
        index: u16,
        answer: Answer,
    ) -> Result<T, CallError> {
        self.open(link, index, answer).map_err(|error| match error {
            Err(error) => error.into(),
            Ok(_) => {
                let reason = "an error of a method that has none".to_owned();
                let kind = ErrorKind::ProtocolViolation { reason };
                RpcError::new(kind, Outcome::Executed).at(&link.uri).into()
            }
        })
    }

    /// What an answer means to a method with an error of its own.
    fn result<T: DeserializeOwned, E: DeserializeOwned>(
        &self,
        link: &Link,
        index: u16,
        answer: Answer,
    ) -> Result<T, CallError<E>> {
        self.open(link, index, answer).map_err(|error| match error {
            Err(error) => error.into(),
            Ok(payload) => match self.decode(link, index, payload) {
                Ok(error) => CallError::Method(error),
                Err(error) => error.into(),
            },
        })
    }

    fn failed(&self, index: u16, error: RpcError) -> RpcError {
        match self.method(index) {
            Some(method) => error.in_method(method.name()),
            None => error,
        }
    }
}

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
        let methods = Methods { options, ..self.methods.clone() };
        Self { client: self.client.clone(), methods }
    }

    /// The same with this deadline for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { client: self.client.clone(), methods: self.methods.with_deadline(deadline) }
    }

    /// The same with a further pair of metadata for its calls.
    #[must_use]
    pub fn with_metadata(&self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let methods = self.methods.with_metadata(key.into(), value.into());
        Self { client: self.client.clone(), methods }
    }

    /// Calls a method that cannot fail by itself.
    #[inline]
    pub fn call<A: Serialize, T: DeserializeOwned>(
        &self,
        method: u16,
        arguments: &A,
    ) -> impl Future<Output = Result<T, CallError>> + Send + use<'_, A, T> {
        let call = self.start(method, arguments, false);
        async move {
            let answer = self.answer(method, call).await?;
            self.methods.value(&self.client.shared().link, method, answer)
        }
    }

    /// Calls a method with an error of its own.
    #[inline]
    pub fn call_fallible<A: Serialize, T: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: u16,
        arguments: &A,
    ) -> impl Future<Output = Result<T, CallError<E>>> + Send + use<'_, A, T, E> {
        let call = self.start(method, arguments, false);
        async move {
            let answer = self.answer(method, call).await?;
            self.methods.result(&self.client.shared().link, method, answer)
        }
    }

    /// Calls a method that gives no reply. Done when the call is on its way.
    #[inline]
    pub fn send<A: Serialize>(
        &self,
        method: u16,
        arguments: &A,
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
    fn start<A: Serialize>(
        &self,
        method: u16,
        arguments: &A,
        oneway: bool,
    ) -> Result<Call<'_>, RpcError> {
        let shared = self.client.shared();
        let prepared = self.methods.prepare(&shared.link, method, arguments)?;
        Ok(Call::new(shared, prepared, oneway))
    }

    #[inline]
    async fn answer(
        &self,
        method: u16,
        call: Result<Call<'_>, RpcError>,
    ) -> Result<Answer, RpcError> {
        match call?.await {
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
        let methods = Methods { options, ..self.methods.clone() };
        Self { client: self.client.clone(), methods }
    }

    /// The same with this deadline for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { client: self.client.clone(), methods: self.methods.with_deadline(deadline) }
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
    pub fn call<A: Serialize, T: DeserializeOwned>(
        &self,
        method: u16,
        arguments: &A,
    ) -> Result<T, CallError> {
        let answer = self.answer(method, arguments)?;
        self.methods.value(self.client.link(), method, answer)
    }

    /// Calls a method with an error of its own.
    ///
    /// # Errors
    /// The method's error, or why there is no answer.
    #[inline]
    pub fn call_fallible<A: Serialize, T: DeserializeOwned, E: DeserializeOwned>(
        &self,
        method: u16,
        arguments: &A,
    ) -> Result<T, CallError<E>> {
        let answer = self.answer(method, arguments)?;
        self.methods.result(self.client.link(), method, answer)
    }

    /// Calls a method that gives no reply. Done when the call is written.
    ///
    /// # Errors
    /// Why it could not be written.
    #[inline]
    pub fn send<A: Serialize>(&self, method: u16, arguments: &A) -> Result<(), CallError> {
        let prepared = self.methods.prepare(self.client.link(), method, arguments)?;
        self.client.send(prepared).map_err(|error| self.methods.failed(method, error).into())
    }

    #[inline]
    fn answer<A: Serialize>(&self, method: u16, arguments: &A) -> Result<Answer, RpcError> {
        let prepared = self.methods.prepare(self.client.link(), method, arguments)?;
        self.client.call(prepared).map_err(|error| self.methods.failed(method, error))
    }
}
