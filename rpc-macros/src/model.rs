//! What a service trait says, once it has passed every rule.
//!
//! `parse` makes it, `expand` prints it. It holds no rule and no generated token: whatever is decided
//! about a method is decided by the time its `Method` exists.

use proc_macro2::Ident;
use syn::ext::IdentExt as _;
use syn::{Attribute, Type, Visibility};

/// The service that a trait describes.
pub(crate) struct Service {
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    /// The name by which client and server find each other's service.
    pub(crate) name: String,
    /// `#[cfg]` of the trait, for everything generated beside it.
    pub(crate) cfg: Vec<Attribute>,
    /// `#[cfg]`, `#[deprecated]` and `#[doc(hidden)]` of the trait, for the generated types.
    pub(crate) attributes: Vec<Attribute>,
    /// The trait has generics, which is an error; the glue must not name it, or `rustc` reports more.
    pub(crate) generic: bool,
    /// The methods that passed; after an error there may be gaps in their indices.
    pub(crate) methods: Vec<Method>,
}

/// One method of a service.
pub(crate) struct Method {
    /// The position in the trait, counting methods that `#[cfg]` removes, so that it is known before
    /// they are.
    pub(crate) index: u16,
    pub(crate) ident: Ident,
    /// `#[cfg]` of the method, for every piece generated from it.
    pub(crate) cfg: Vec<Attribute>,
    /// `#[cfg]`, documentation, `#[deprecated]` and `#[allow]`, for the client's methods.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) execution: Execution,
    /// The first parameter is `cx: &Context`.
    pub(crate) context: bool,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) outcome: Outcome,
    pub(crate) idempotent: bool,
    /// A cancellation does not end it.
    pub(crate) no_cancel: bool,
    /// `#[ipc(deadline = "..")]`, in nanoseconds, never zero.
    pub(crate) deadline: Option<u64>,
}

impl Method {
    /// The arguments that are encoded.
    pub(crate) fn encoded(&self) -> impl Iterator<Item = &Argument> {
        self.arguments.iter().filter(|argument| !matches!(argument.shape, Shape::Stream(_)))
    }

    /// The argument that is a stream, and its items.
    pub(crate) fn stream(&self) -> Option<(&Argument, &Payload)> {
        self.arguments.iter().find_map(|argument| match &argument.shape {
            Shape::Stream(item) => Some((argument, item)),
            _ => None,
        })
    }

    /// The name on the wire: `move` for `r#move`.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }
}

/// Where a method runs in the server.
#[derive(Clone, Copy)]
pub(crate) enum Execution {
    /// An `async fn`: polled where the request was read.
    Future,
    /// A plain `fn`: on the blocking pool.
    Blocking,
    /// A plain `fn` that makes a stream: as a future.
    Stream,
    /// A `#[ipc(inline)] fn`: where the request was read.
    Inline,
}

/// One argument that is sent.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    /// The type as written, which the clients take.
    pub(crate) ty: Type,
    pub(crate) shape: Shape,
}

impl Argument {
    /// The name on the wire: `type` for `r#type`.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }
}

/// How the server makes an argument out of what it decodes, and how a client encodes it.
pub(crate) enum Shape {
    /// Serde takes and gives the type as written: `T`, `&str`, `Vec<&str>`, `Option<&str>`, `&Path`.
    Plain,
    /// `&T`: an owned `T` is decoded and lent.
    Reference(Type),
    /// `&[T]`: a `Vec<T>` is decoded and lent.
    Slice(Type),
    /// `Option<&T>`.
    OptionReference(Type),
    /// `Option<&[T]>`.
    OptionSlice(Type),
    /// `&[u8]`: borrowed from the request.
    Bytes,
    /// `Option<&[u8]>`: borrowed from the request.
    OptionBytes,
    /// `Vec<u8>`.
    ByteBuf,
    /// `Option<Vec<u8>>`.
    OptionByteBuf,
    /// `Cow<'_, str>`: borrowed from the request, which serde's own `Cow` never is.
    CowStr,
    /// `Cow<'_, [u8]>`: borrowed from the request.
    CowBytes,
    /// `impl Stream<Item = T>`: not encoded with the others, but sent beside them.
    Stream(Payload),
}

/// What comes back from a method.
pub(crate) enum Outcome {
    /// `#[ipc(oneway)]`: no reply at all.
    Oneway,
    /// Nothing, or `()`: an empty reply.
    Unit,
    /// `T`.
    Value(Payload),
    /// `Result<T, E>`.
    Fallible(Payload, Box<Type>),
    /// `impl Stream<Item = T>`, or of `Result<T, E>`, whose first error ends it.
    Stream(Payload, Option<Box<Type>>),
}

/// A result as written, and whether it is a string of bytes.
pub(crate) struct Payload {
    pub(crate) ty: Box<Type>,
    pub(crate) bytes: Bytes,
}

/// Results that serde would treat byte by byte, and `serde_bytes` as one block.
#[derive(Clone, Copy)]
pub(crate) enum Bytes {
    No,
    /// `Vec<u8>`.
    Vec,
    /// `Option<Vec<u8>>`.
    OptionVec,
}
