//! The stubs' methods with streams.

use std::future::Future;
use std::sync::Arc;

use futures_core::Stream;
use serde::de::DeserializeOwned;

use super::{BlockingStub, Stub};
use crate::client::blocking::streams::{BlockingStreaming, Items};
use crate::client::call::Call;
use crate::client::streams::{ItemStream, Streaming};
use crate::error::{CallError, RpcError};
use crate::stream::codec::Codec;
use crate::wire::payload::{Arguments, Returns};

impl Stub {
    /// Calls a method that gives a stream which cannot fail by itself. Done when the call is on its way.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn stream<A: Arguments, C: Codec<T>, T>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> impl Future<Output = Result<ItemStream<T>, CallError>> + Send + use<A, C, T> {
        let call = self.start_streaming(method, arguments);
        async move {
            let value = |m: &_, l: &_, i, a| super::Methods::value::<()>(m, l, i, a);
            Ok(call?.open::<C, T, _>(value).await?)
        }
    }

    /// The same for a stream with an error of its own.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn stream_fallible<A: Arguments, C: Codec<T>, T, E: DeserializeOwned>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> impl Future<Output = Result<ItemStream<T, E>, CallError<E>>> + Send + use<A, C, T, E> {
        let call = self.start_streaming(method, arguments);
        async move {
            let value = |m: &_, l: &_, i, a| super::Methods::result::<(), E>(m, l, i, a);
            Ok(call?.open::<C, T, _>(value).await?)
        }
    }

    /// Calls a method that takes a stream and gives one which cannot fail by itself.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn converse<A, D, S, C, T>(
        &self,
        method: u16,
        arguments: &mut A,
        stream: S,
    ) -> impl Future<Output = Result<ItemStream<T>, CallError>> + Send + use<A, D, S, C, T>
    where
        A: Arguments,
        D: Codec<S::Item> + 'static,
        S: Stream + Send + 'static,
        S::Item: Send,
        C: Codec<T>,
    {
        let call = self.start_streaming(method, arguments);
        async move {
            let value = |m: &_, l: &_, i, a| super::Methods::value::<()>(m, l, i, a);
            Ok(call?.converse::<C, T, _, D, S>(stream, value).await?)
        }
    }

    /// The same for a stream with an error of its own.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn converse_fallible<A, D, S, C, T, E>(
        &self,
        method: u16,
        arguments: &mut A,
        stream: S,
    ) -> impl Future<Output = Result<ItemStream<T, E>, CallError<E>>> + Send + use<A, D, S, C, T, E>
    where
        A: Arguments,
        D: Codec<S::Item> + 'static,
        S: Stream + Send + 'static,
        S::Item: Send,
        C: Codec<T>,
        E: DeserializeOwned,
    {
        let call = self.start_streaming(method, arguments);
        async move {
            let value = |m: &_, l: &_, i, a| super::Methods::result::<(), E>(m, l, i, a);
            Ok(call?.converse::<C, T, _, D, S>(stream, value).await?)
        }
    }

    /// Calls a method that takes a stream and cannot fail by itself.
    ///
    /// # Errors
    /// Why there is no value.
    pub fn upload<A, D, S, T>(
        &self,
        method: u16,
        arguments: &mut A,
        stream: S,
    ) -> impl Future<Output = Result<T::Value, CallError>> + use<'_, A, D, S, T>
    where
        A: Arguments,
        D: Codec<S::Item>,
        S: Stream,
        T: Returns,
    {
        let call = self.start_streaming(method, arguments);
        async move {
            let answer = call?.upload::<D, S>(stream).await?;
            self.methods.value::<T>(&self.client.shared().link, method, answer)
        }
    }

    /// The same for a method with an error of its own.
    ///
    /// # Errors
    /// The method's error, or why there is no answer.
    pub fn upload_fallible<A, D, S, T, E>(
        &self,
        method: u16,
        arguments: &mut A,
        stream: S,
    ) -> impl Future<Output = Result<T::Value, CallError<E>>> + use<'_, A, D, S, T, E>
    where
        A: Arguments,
        D: Codec<S::Item>,
        S: Stream,
        T: Returns,
        E: DeserializeOwned,
    {
        let call = self.start_streaming(method, arguments);
        async move {
            let answer = call?.upload::<D, S>(stream).await?;
            self.methods.result::<T, E>(&self.client.shared().link, method, answer)
        }
    }

    fn start_streaming<A: Arguments>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> Result<Streaming, RpcError> {
        let shared = self.client.shared();
        let prepared = self.methods.prepare(&shared.link, method, arguments)?;
        let ends = self.methods.open_streams(&shared.link, method);
        let call = Call::with_streams(Arc::clone(shared), prepared, ends.clone());
        let (shared, methods) = (Arc::clone(shared), self.methods.clone());
        Ok(Streaming { shared, methods, index: method, call, ends })
    }
}

impl BlockingStub {
    /// Calls a method that gives a stream which cannot fail by itself. Done when the call is on its way.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn stream<A: Arguments, C: Codec<T>, T>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> Result<Items<T>, CallError> {
        let value = |m: &_, l: &_, i, a| super::Methods::value::<()>(m, l, i, a);
        Ok(self.start_streaming(method, arguments)?.open::<C, T, _>(value))
    }

    /// The same for a stream with an error of its own.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn stream_fallible<A: Arguments, C: Codec<T>, T, E: DeserializeOwned>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> Result<Items<T, E>, CallError<E>> {
        let value = |m: &_, l: &_, i, a| super::Methods::result::<(), E>(m, l, i, a);
        Ok(self.start_streaming(method, arguments)?.open::<C, T, _>(value))
    }

    /// Calls a method that takes a stream and gives one which cannot fail by itself. Another thread sends the items.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn converse<A, D, I, C, T>(
        &self,
        method: u16,
        arguments: &mut A,
        items: I,
    ) -> Result<Items<T>, CallError>
    where
        A: Arguments,
        D: Codec<I::Item>,
        I: IntoIterator<IntoIter: Send + 'static>,
        C: Codec<T>,
    {
        let value = |m: &_, l: &_, i, a| super::Methods::value::<()>(m, l, i, a);
        let call = self.start_streaming(method, arguments)?;
        Ok(call.converse::<C, T, _, D, _>(items.into_iter(), value)?)
    }

    /// The same for a stream with an error of its own.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn converse_fallible<A, D, I, C, T, E>(
        &self,
        method: u16,
        arguments: &mut A,
        items: I,
    ) -> Result<Items<T, E>, CallError<E>>
    where
        A: Arguments,
        D: Codec<I::Item>,
        I: IntoIterator<IntoIter: Send + 'static>,
        C: Codec<T>,
        E: DeserializeOwned,
    {
        let value = |m: &_, l: &_, i, a| super::Methods::result::<(), E>(m, l, i, a);
        let call = self.start_streaming(method, arguments)?;
        Ok(call.converse::<C, T, _, D, _>(items.into_iter(), value)?)
    }

    /// Calls a method that takes a stream and cannot fail by itself.
    ///
    /// # Errors
    /// Why there is no value.
    pub fn upload<A, D, I, T>(
        &self,
        method: u16,
        arguments: &mut A,
        items: I,
    ) -> Result<T::Value, CallError>
    where
        A: Arguments,
        D: Codec<I::Item>,
        I: IntoIterator,
        T: Returns,
    {
        let call = self.start_streaming(method, arguments)?;
        let answer = call.upload::<D, _>(items.into_iter())?;
        self.methods.value::<T>(self.client.link(), method, answer)
    }

    /// The same for a method with an error of its own.
    ///
    /// # Errors
    /// The method's error, or why there is no answer.
    pub fn upload_fallible<A, D, I, T, E>(
        &self,
        method: u16,
        arguments: &mut A,
        items: I,
    ) -> Result<T::Value, CallError<E>>
    where
        A: Arguments,
        D: Codec<I::Item>,
        I: IntoIterator,
        T: Returns,
        E: DeserializeOwned,
    {
        let call = self.start_streaming(method, arguments)?;
        let answer = call.upload::<D, _>(items.into_iter())?;
        self.methods.result::<T, E>(self.client.link(), method, answer)
    }

    fn start_streaming<A: Arguments>(
        &self,
        method: u16,
        arguments: &mut A,
    ) -> Result<BlockingStreaming, RpcError> {
        let prepared = self.methods.prepare(self.client.link(), method, arguments)?;
        BlockingStreaming::start(&self.client, &self.methods, method, prepared)
    }
}
