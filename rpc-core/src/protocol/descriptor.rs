//! What a service looks like from outside: its methods, by name, each with a signature.
//!
//! The macro builds a descriptor from the trait. The server announces it in `Hello`; the client compares
//! it with its own. The signature text is made of the argument names and of the shapes of the types as
//! serde sees them (see [`shape`]), and its FNV-1a hash is the fingerprint.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;

use crate::wire::shape;

/// A service: its name and its methods.
#[derive(Debug)]
pub struct ServiceDescriptor {
    name: &'static str,
    /// By index in the trait; `None` where a method is compiled out.
    methods: Vec<Option<MethodDescriptor>>,
}

impl ServiceDescriptor {
    /// A service without methods.
    pub fn new(name: &'static str) -> Self {
        Self { name, methods: Vec::new() }
    }

    /// Adds the method at `index` in the trait.
    pub fn method(&mut self, index: u16, method: MethodDescriptor) {
        let index = usize::from(index);
        if self.methods.len() <= index {
            self.methods.resize_with(index + 1, || None);
        }
        self.methods[index] = Some(method);
    }

    /// The service's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The methods with their indices in the trait.
    pub fn methods(&self) -> impl Iterator<Item = (u16, &MethodDescriptor)> {
        (0..).zip(&self.methods).filter_map(|(index, method)| Some((index, method.as_ref()?)))
    }

    /// The method at `index` in the trait, unless it is compiled out.
    #[inline]
    pub fn at(&self, index: u16) -> Option<&MethodDescriptor> {
        self.methods.get(usize::from(index))?.as_ref()
    }

    /// The number of indices, compiled-out methods included.
    pub fn indices(&self) -> usize {
        self.methods.len()
    }
}

/// A method: its name, its signature, and how it is called.
#[derive(Debug)]
pub struct MethodDescriptor {
    name: &'static str,
    arguments: String,
    value: Option<String>,
    error: Option<String>,
    oneway: bool,
    inline: bool,
    context: bool,
    idempotent: bool,
    no_cancel: bool,
    /// Whether one of its arguments is a stream, and whether its value is.
    takes_stream: bool,
    gives_stream: bool,
    deadline: Option<Duration>,
}

impl MethodDescriptor {
    /// A method without arguments that returns nothing.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            arguments: String::new(),
            value: None,
            error: None,
            oneway: false,
            inline: false,
            context: false,
            idempotent: false,
            no_cancel: false,
            takes_stream: false,
            gives_stream: false,
            deadline: None,
        }
    }

    /// The same with a further argument.
    #[must_use]
    pub fn argument<T: Deserialize<'static>>(mut self, name: &'static str) -> Self {
        let separator = if self.arguments.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(self.arguments, "{separator}{name}: {}", shape::shape::<T>());
        self
    }

    /// The same with a further argument, which is a stream of `T`.
    #[must_use]
    pub fn stream_argument<T: Deserialize<'static>>(mut self, name: &'static str) -> Self {
        let separator = if self.arguments.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(self.arguments, "{separator}{name}: {}", stream_of::<T>());
        self.takes_stream = true;
        self
    }

    /// The same, returning a stream of `T`.
    #[must_use]
    pub fn streams<T: Deserialize<'static>>(mut self) -> Self {
        self.value = Some(stream_of::<T>());
        self.gives_stream = true;
        self
    }

    /// The same, returning a `T`.
    #[must_use]
    pub fn returns<T: Deserialize<'static>>(mut self) -> Self {
        self.value = Some(shape::shape::<T>());
        self
    }

    /// The same, failing with an `E`.
    #[must_use]
    pub fn fails<E: Deserialize<'static>>(mut self) -> Self {
        self.error = Some(shape::shape::<E>());
        self
    }

    /// The same without a reply.
    #[must_use]
    pub fn oneway(mut self) -> Self {
        self.oneway = true;
        self
    }

    /// The same, run where its request was read.
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// The same, asking about its call: only then can it notice that it is cancelled.
    #[must_use]
    pub fn context(mut self) -> Self {
        self.context = true;
        self
    }

    /// The same, running to its end whatever becomes of its call.
    #[must_use]
    pub fn no_cancel(mut self) -> Self {
        self.no_cancel = true;
        self
    }

    /// The same, marked as safe to repeat.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// The same with a deadline of its own, in ns.
    #[must_use]
    pub fn deadline(mut self, nanos: u64) -> Self {
        self.deadline = Some(Duration::from_nanos(nanos));
        self
    }

    /// The method's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether calls of it get no reply.
    pub fn is_oneway(&self) -> bool {
        self.oneway
    }

    /// Whether it runs where its request was read.
    pub fn is_inline(&self) -> bool {
        self.inline
    }

    /// Whether its handler is given the call's context.
    pub fn takes_context(&self) -> bool {
        self.context
    }

    /// Whether its handler is ended when its call is cancelled.
    pub fn is_cancellable(&self) -> bool {
        !self.no_cancel
    }

    /// Whether one of its arguments is a stream.
    pub fn takes_stream(&self) -> bool {
        self.takes_stream
    }

    /// Whether its value is a stream.
    pub fn gives_stream(&self) -> bool {
        self.gives_stream
    }

    /// Whether it may be repeated without harm.
    pub fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// The deadline that the trait gives it.
    pub fn default_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The signature as text: `oneway (a: u64, b: str) -> u64 ! {code: u32}`.
    pub fn signature(&self) -> String {
        let mut text = String::new();
        if self.oneway {
            text.push_str("oneway ");
        }
        let _ = write!(text, "({})", self.arguments);
        if let Some(value) = &self.value {
            let _ = write!(text, " -> {value}");
        }
        if let Some(error) = &self.error {
            let _ = write!(text, " ! {error}");
        }
        text
    }
}

fn stream_of<T: Deserialize<'static>>() -> String {
    format!("stream<{}>", shape::shape::<T>())
}
