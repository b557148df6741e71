//! The first frame of each side, and what follows from comparing the two.
//!
//! `Hello` carries the protocol version, the sender's limits, and its services: for each method its
//! name, its signature and the signature's fingerprint. A method's number on this connection is its
//! place in the announced list, counted over all services. Methods are found by name, so the order in a
//! trait does not matter, and one that differs leaves the others usable.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, RpcError};
use crate::limits::{Limits, Window};
use crate::protocol::descriptor::ServiceDescriptor;
use crate::wire::frame::{FRAGMENT, HEADER, HELLO_BODY, Header, Kind, PREFACE};
use crate::wire::payload::{self, DecodeLimits};
use crate::wire::shape;

/// The version of the protocol. Both sides must speak the same.
pub const VERSION: u16 = 1;

/// The longest signature that is sent, in bytes; the fingerprint covers the whole one.
const SIGNATURE: usize = 4 << 10;

/// What a side says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u16,
    /// The largest message it takes, in bytes.
    pub message_limit: u64,
    /// Bytes of fragmented messages that it holds at a time.
    pub held_limit: u64,
    /// Calls that it answers at a time.
    pub calls_in_flight: u32,
    /// How far ahead of it the sender of a stream may be.
    pub stream: Window,
    /// The secret that the server asked for, or nothing.
    #[serde(with = "serde_bytes")]
    pub token: Vec<u8>,
    /// How it can be rung.
    pub doorbell: Doorbell,
    /// Its services.
    pub services: Vec<ServiceHello>,
}

/// How a server can be told to look at its cancellations while it does not read: by a signal to its process. A
/// client has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doorbell {
    /// The signal, as the server's system numbers it; 0 if there is none.
    pub signal: u8,
    /// The process, as its own pid namespace numbers it; 0 if there is none.
    pub pid: u32,
}

/// A service as announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceHello {
    /// Its name.
    pub name: String,
    /// Its methods.
    pub methods: Vec<MethodHello>,
}

/// A method as announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodHello {
    /// Its name.
    pub name: String,
    /// The hash of its signature.
    pub fingerprint: u64,
    /// Its signature, for people; cut where it is long.
    pub signature: String,
}

impl Hello {
    /// What a side with these limits and services says. It has no doorbell.
    pub fn new<'a>(
        limits: &Limits,
        token: Option<&[u8]>,
        services: impl IntoIterator<Item = &'a ServiceDescriptor>,
    ) -> Self {
        Self {
            version: VERSION,
            message_limit: message_limit(limits.message as u64, limits.held_bytes as u64),
            held_limit: limits.held_bytes as u64,
            calls_in_flight: limits.calls_in_flight,
            stream: limits.stream,
            token: token.unwrap_or_default().to_vec(),
            doorbell: Doorbell::default(),
            services: services.into_iter().map(announce).collect(),
        }
    }

    /// The preface and the frame.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when the services do not fit the frame.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RpcError> {
        let mut bytes = PREFACE.to_vec();
        bytes.extend_from_slice(&Header::new(Kind::Hello, 0).to_bytes());
        payload::encode(self, &mut bytes, HELLO_BODY).map_err(|error| {
            let reason = format!("the services cannot be announced: {error}");
            RpcError::not_executed(ErrorKind::Codec { reason })
        })?;
        let start = PREFACE.len();
        let length = (bytes.len() - start - HEADER) as u32;
        bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the frame's body. A `message_limit` above what the peer can hold is lowered to that.
    ///
    /// # Errors
    /// [`ErrorKind::ProtocolViolation`] for what is not a `Hello`, [`ErrorKind::Refused`] for another
    /// version.
    pub fn from_body(body: &[u8]) -> Result<Self, RpcError> {
        let limits = DecodeLimits { memory: 64 * HELLO_BODY, ..DecodeLimits::default() };
        // The version comes first and is looked at first: what follows may differ with it.
        if let Some(&version) = body.first()
            && u16::from(version) != VERSION
        {
            let reason = format!("the peer speaks version {version} of the protocol, we {VERSION}");
            return Err(RpcError::not_executed(ErrorKind::Refused { reason }));
        }
        let hello: Self = payload::decode(body, &limits).map_err(|error| {
            let reason = format!("the peer's hello cannot be read: {error}");
            RpcError::not_executed(ErrorKind::ProtocolViolation { reason })
        })?;
        Ok(Self { message_limit: message_limit(hello.message_limit, hello.held_limit), ..hello })
    }
}

/// The largest message that is really taken: one in fragments has to be held while they come.
fn message_limit(announced: u64, held_limit: u64) -> u64 {
    announced.min(held_limit.max(FRAGMENT as u64))
}

fn announce(service: &ServiceDescriptor) -> ServiceHello {
    let methods = service.methods().map(|(_, method)| {
        let mut signature = method.signature();
        let fingerprint = shape::fingerprint(&signature);
        if signature.len() > SIGNATURE {
            let cut = (0..=SIGNATURE).rev().find(|at| signature.is_char_boundary(*at)).unwrap_or(0);
            signature.truncate(cut);
            signature.push_str("...");
        }
        MethodHello { name: method.name().to_owned(), fingerprint, signature }
    });
    ServiceHello { name: service.name().to_owned(), methods: methods.collect() }
}

/// What a client's method is on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It has this number.
    Number(u16),
    /// It cannot be called; this is why.
    Unusable(Box<ErrorKindText>),
}

/// The parts of the error that a call of an unusable method gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKindText {
    /// The server has no such method.
    Unknown,
    /// Its signature differs.
    Differs {
        /// Ours.
        ours: String,
        /// Theirs.
        theirs: String,
    },
}

/// Finds a service's methods among those that the peer announced; by index in the trait.
///
/// # Errors
/// [`ErrorKind::UnknownService`].
pub fn bind(service: &ServiceDescriptor, theirs: &Hello) -> Result<Vec<Binding>, RpcError> {
    let mut number: usize = 0;
    let mut found = None;
    for announced in &theirs.services {
        if announced.name == service.name() {
            found = Some((number, announced));
            break;
        }
        number += announced.methods.len();
    }
    let Some((first, announced)) = found else {
        return Err(RpcError::not_executed(ErrorKind::UnknownService {
            service: service.name().to_owned(),
            offered: theirs.services.iter().map(|service| service.name.clone()).collect(),
        }));
    };
    let mut bindings = vec![Binding::Unusable(Box::new(ErrorKindText::Unknown)); service.indices()];
    for (index, method) in service.methods() {
        let place = announced.methods.iter().position(|other| other.name == method.name());
        let Some(place) = place else { continue };
        let (ours, other) = (method.signature(), &announced.methods[place]);
        let number = u16::try_from(first + place).ok();
        bindings[usize::from(index)] = match number {
            Some(number) if shape::fingerprint(&ours) == other.fingerprint => {
                Binding::Number(number)
            }
            _ => Binding::Unusable(Box::new(ErrorKindText::Differs {
                ours,
                theirs: other.signature.clone(),
            })),
        };
    }
    Ok(bindings)
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
