//! A service's methods, bound to their numbers on one connection: how a call of one is encoded, and what
//! an answer means. The same for both kinds of stubs.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::cancel::CancelToken;
use crate::client::CallOptions;
use crate::client::link::Link;
use crate::client::prepared::{Prepared, Terms};
use crate::error::{CallError, ErrorKind, Outcome, RpcError};
use crate::protocol::calls::Answer;
use crate::protocol::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::protocol::failure::{self, METHOD_ERROR, OK};
use crate::protocol::hello::{self, Binding, ErrorKindText};
use crate::stream::Ends;
use crate::wire::payload::{Arguments, Received, Returns};

/// A service's methods on one connection, with the options of the calls to come.
#[derive(Clone, Debug)]
pub(crate) struct Methods {
    descriptor: &'static ServiceDescriptor,
    bindings: Arc<[Binding]>,
    options: CallOptions,
}

impl Methods {
    pub(crate) fn bind(
        descriptor: &'static ServiceDescriptor,
        link: &Link<impl Sized>,
    ) -> Result<Self, RpcError> {
        let bindings =
            hello::bind(descriptor, &link.theirs).map_err(|error| error.at(&link.uri))?;
        Ok(Self { descriptor, bindings: bindings.into(), options: CallOptions::new() })
    }

    pub(crate) fn with_options(&self, options: CallOptions) -> Self {
        Self { options, ..self.clone() }
    }

    pub(crate) fn with_deadline(&self, deadline: Duration) -> Self {
        Self { options: self.options.clone().deadline(deadline), ..self.clone() }
    }

    pub(crate) fn with_cancel_token(&self, token: &CancelToken) -> Self {
        Self { options: self.options.clone().cancel_token(token), ..self.clone() }
    }

    pub(crate) fn with_metadata(&self, key: String, value: String) -> Self {
        Self { options: self.options.clone().metadata(key, value), ..self.clone() }
    }

    fn method(&self, index: u16) -> Option<&'static MethodDescriptor> {
        self.descriptor.at(index)
    }

    /// Encodes a call of the method at `index` in the trait.
    #[inline]
    pub(crate) fn prepare<A: Arguments>(
        &self,
        link: &Link<impl Sized>,
        index: u16,
        arguments: &mut A,
    ) -> Result<Prepared, RpcError> {
        let Some(method) = self.method(index) else { return Err(self.unusable(link, index)) };
        let Some(Binding::Number(number)) = self.bindings.get(usize::from(index)) else {
            return Err(self.unusable(link, index));
        };
        let deadline = self.options.deadline.or(method.default_deadline());
        let budget = deadline.or(link.settings.deadline);
        let token = self.options.token.as_ref();
        let terms = Terms { budget, until: self.options.deadline_at, token };
        self.options
            .encoded_metadata()
            .and_then(|metadata| {
                link.prepare(*number, method.is_oneway(), terms, metadata, arguments)
            })
            .map_err(|error| error.at(&link.uri).in_method(method.name()))
    }

    /// The ends of the streams of a call of the method at `index` in the trait.
    pub(crate) fn open_streams(&self, link: &Link<impl Sized>, index: u16) -> Ends {
        let method = self.method(index);
        let comes = method.is_some_and(MethodDescriptor::gives_stream);
        let goes = method.is_some_and(MethodDescriptor::takes_stream);
        link.windows.open(comes, goes)
    }

    #[cold]
    fn unusable(&self, link: &Link<impl Sized>, index: u16) -> RpcError {
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
    fn open<T: Returns>(
        &self,
        link: &Link<impl Sized>,
        index: u16,
        answer: Answer,
    ) -> Result<T::Value, Result<Received, RpcError>> {
        let Answer { status, payload } = answer;
        match status {
            OK => self.decode::<T>(link, index, payload).map_err(Err),
            METHOD_ERROR => Err(Ok(payload)),
            _ => {
                let name = self.method(index).map_or("?", MethodDescriptor::name);
                let error = failure::to_error(
                    status,
                    &payload.to_payload(),
                    name,
                    &link.settings.limits.decode,
                );
                Err(Err(error.at(&link.uri).in_method(name)))
            }
        }
    }

    #[inline]
    fn decode<T: Returns>(
        &self,
        link: &Link<impl Sized>,
        index: u16,
        payload: Received,
    ) -> Result<T::Value, RpcError> {
        T::decode(payload, &link.settings.limits.decode).map_err(|error| {
            let name = self.method(index).map_or("?", MethodDescriptor::name);
            let reason = format!("the result cannot be decoded: {error}");
            RpcError::new(ErrorKind::Codec { reason }, Outcome::Executed)
                .at(&link.uri)
                .in_method(name)
        })
    }

    /// What an answer means to a method that cannot fail by itself.
    pub(crate) fn value<T: Returns>(
        &self,
        link: &Link<impl Sized>,
        index: u16,
        answer: Answer,
    ) -> Result<T::Value, CallError> {
        self.open::<T>(link, index, answer).map_err(|error| match error {
            Err(error) => error.into(),
            Ok(_) => {
                let reason = "an error of a method that has none".to_owned();
                let kind = ErrorKind::ProtocolViolation { reason };
                self.failed(index, RpcError::new(kind, Outcome::Executed).at(&link.uri)).into()
            }
        })
    }

    /// What an answer means to a method with an error of its own.
    pub(crate) fn result<T: Returns, E: DeserializeOwned>(
        &self,
        link: &Link<impl Sized>,
        index: u16,
        answer: Answer,
    ) -> Result<T::Value, CallError<E>> {
        self.open::<T>(link, index, answer).map_err(|error| match error {
            Err(error) => error.into(),
            Ok(payload) => match self.decode::<E>(link, index, payload) {
                Ok(error) => CallError::Method(error),
                Err(error) => error.into(),
            },
        })
    }

    pub(crate) fn failed(&self, index: u16, error: RpcError) -> RpcError {
        match self.method(index) {
            Some(method) => error.in_method(method.name()),
            None => error,
        }
    }
}
