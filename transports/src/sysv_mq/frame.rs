//! What is in a message: a header of 16 bytes, and what follows it. Both sides run on one machine, and
//! yet all of it is checked: whoever runs as the same user can send anything.
//!
//! ```text
//!  0..4   tag        chosen by the server for the connection; 0 before there is one
//!  4      purpose
//!  5      flags
//!  6..8   window     how far beyond `taken` the receiver of this may go, in units of 16 bytes
//!  8..12  position   bytes of messages that the sender had sent before this one, low 32 bits
//! 12..16  taken      bytes of messages that the sender has taken out of the other queue, likewise
//! ```
//!
//! All numbers are little-endian. What counts as bytes of messages is a message with bytes of the
//! connection, with its header; messages without any (acknowledgements, ends) count nothing.

use crate::sys::message_queue::{CAPACITY, Kind};

/// Bytes of a header.
pub(super) const HEADER: usize = 16;

/// The version of all this, told when a client says hello.
pub(super) const VERSION: u8 = 1;

/// The kind of messages that are not of any connection yet: those that say hello, or take that back.
pub(super) const LOBBY: Kind = 1;

/// The ids of connections are smaller, the numbers under which clients wait to be welcomed are not.
pub(super) const FIRST_RETURN_ADDRESS: Kind = Kind::MAX / 2 + 1;

/// The peer's writing half is closed: nothing comes after `position`.
pub(super) const END: u8 = 1;
/// The peer's reading half is closed.
pub(super) const STOP: u8 = 2;
/// The sender has more to send than this message took.
pub(super) const MORE: u8 = 4;
/// The sender soon has no credit left: it wants to be told as soon as there is some.
pub(super) const HUNGRY: u8 = 8;
/// The queue was full and is not any more: whoever could not send may try again, and should answer.
pub(super) const ROOM: u8 = 16;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Purpose {
    /// Bytes of the connection, or only news of it.
    Stream = 0,
    /// A client wants in: [`Hello`].
    Hello = 1,
    /// It has gone, and receives nothing more. In the lobby: it does not want in any more, and this was its
    /// return address.
    Leave = 2,
    /// It is in: [`Welcome`].
    Welcome = 3,
    /// It is not let in: [`Refusal`].
    Refusal = 4,
    /// It has been told that it is in: what it was told to answer.
    Answer = 5,
    /// From a process to itself, so that it knows that all that came before has been received.
    Mark = 6,
}

/// The first 16 bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tag: u32,
    pub(super) purpose: Purpose,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) position: u32,
    pub(super) taken: u32,
}

impl Header {
    /// One that says nothing but what it is for.
    pub(super) fn bare(tag: u32, purpose: Purpose) -> Self {
        Self { tag, purpose, flags: 0, window: 0, position: 0, taken: 0 }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..4].copy_from_slice(&self.tag.to_le_bytes());
        bytes[4] = self.purpose as u8;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.window.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.position.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.taken.to_le_bytes());
        bytes
    }

    /// Takes a message apart, if it is one of ours.
    pub(super) fn split(message: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = message.split_at_checked(HEADER)?;
        let mut fields = Fields(header);
        let tag = u32::from_le_bytes(fields.take()?);
        let purpose = match fields.take::<1>()? {
            [0] => Purpose::Stream,
            [1] => Purpose::Hello,
            [2] => Purpose::Leave,
            [3] => Purpose::Welcome,
            [4] => Purpose::Refusal,
            [5] => Purpose::Answer,
            [6] => Purpose::Mark,
            _ => return None,
        };
        let [flags] = fields.take()?;
        let window = u16::from_le_bytes(fields.take()?);
        let position = u32::from_le_bytes(fields.take()?);
        let taken = u32::from_le_bytes(fields.take()?);
        Some((Self { tag, purpose, flags, window, position, taken }, rest))
    }
}

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The start of the server that it means.
    pub(super) start: u64,
    pub(super) return_address: u64,
    pub(super) pid: u32,
    pub(super) version: u8,
}

impl Hello {
    const LENGTH: usize = 21;

    pub(super) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[0..8].copy_from_slice(&self.start.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.return_address.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.pid.to_le_bytes());
        bytes[20] = self.version;
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::exactly(bytes, Self::LENGTH)?;
        let start = u64::from_le_bytes(fields.take()?);
        let return_address = u64::from_le_bytes(fields.take()?);
        let pid = u32::from_le_bytes(fields.take()?);
        let [version] = fields.take()?;
        Some(Self { start, return_address, pid, version })
    }
}

/// What the server tells a client that is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Welcome {
    /// The kind of its messages from now on, in both queues.
    pub(super) id: u64,
    /// What it has to answer, so that the server knows that it has opened the right process.
    pub(super) challenge: u64,
    pub(super) tag: u32,
    /// What it may always have in the request queue, in bytes.
    pub(super) base: u16,
    /// The longest message.
    pub(super) message: u16,
    /// Which pair of queues of this server is its own.
    pub(super) pair: u8,
}

impl Welcome {
    const LENGTH: usize = 25;

    pub(super) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[0..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.challenge.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.tag.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.base.to_le_bytes());
        bytes[22..24].copy_from_slice(&self.message.to_le_bytes());
        bytes[24] = self.pair;
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::exactly(bytes, Self::LENGTH)?;
        let id = u64::from_le_bytes(fields.take()?);
        let challenge = u64::from_le_bytes(fields.take()?);
        let tag = u32::from_le_bytes(fields.take()?);
        let base = u16::from_le_bytes(fields.take()?);
        let message = u16::from_le_bytes(fields.take()?);
        let [pair] = fields.take()?;
        let fits = usize::from(message) <= CAPACITY && usize::from(message) > HEADER;
        fits.then_some(Self { id, challenge, tag, base, message, pair })
    }
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Refusal {
    /// The server has just stopped listening.
    Gone = 0,
    /// It has as many connections as it can have.
    Full = 1,
    /// It has no descriptor left.
    NoDescriptor = 2,
    /// It cannot have a further pair of queues.
    NoQueue = 3,
    /// It speaks another version.
    Version = 4,
}

impl Refusal {
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(Self::Gone),
            [1] => Some(Self::Full),
            [2] => Some(Self::NoDescriptor),
            [3] => Some(Self::NoQueue),
            [4] => Some(Self::Version),
            _ => None,
        }
    }
}

/// The number that is all that a message has beside its header.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Bytes that are taken apart from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn exactly(bytes: &'a [u8], length: usize) -> Option<Self> {
        (bytes.len() == length).then_some(Self(bytes))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let header = Header {
            tag: 0x0102_0304,
            purpose: Purpose::Stream,
            flags: MORE | HUNGRY,
            window: 0x0506,
            position: 0x0708_090a,
            taken: 0x0b0c_0d0e,
        };
        let message = [&header.to_bytes()[..], b"rest"].concat();
        assert_eq!(Header::split(&message).unwrap(), (header, &b"rest"[..]));

        let hello = Hello { start: 1, return_address: 2, pid: 3, version: 4 };
        assert_eq!(Hello::from_bytes(&hello.to_bytes()).unwrap(), hello);
        let welcome = Welcome { id: 1, challenge: 2, tag: 3, base: 4, message: 600, pair: 7 };
        assert_eq!(Welcome::from_bytes(&welcome.to_bytes()).unwrap(), welcome);
    }

    #[test]
    fn what_is_cut_or_too_long_is_nothing() {
        let header = Header::bare(1, Purpose::Mark).to_bytes();
        for length in 0..HEADER {
            assert!(Header::split(&header[..length]).is_none());
        }
        let hello = Hello { start: 1, return_address: 2, pid: 3, version: 4 }.to_bytes();
        let welcome = Welcome { id: 1, challenge: 2, tag: 3, base: 4, message: 600, pair: 7 };
        let welcome = welcome.to_bytes();
        for length in (0..40).filter(|length| *length != hello.len()) {
            assert!(Hello::from_bytes(&[0; 40][..length]).is_none());
        }
        for length in 0..welcome.len() {
            assert!(Welcome::from_bytes(&welcome[..length]).is_none());
        }
        for wrong in [&[][..], &[5], &[0, 0]] {
            assert!(Refusal::from_bytes(wrong).is_none());
        }
        let unknown = [0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(Header::split(&unknown).is_none());
    }

    #[test]
    fn a_message_size_that_no_buffer_holds_is_refused() {
        let mut welcome = Welcome { id: 1, challenge: 2, tag: 3, base: 4, message: 16, pair: 7 };
        assert!(Welcome::from_bytes(&welcome.to_bytes()).is_none());
        welcome.message = 2049;
        assert!(Welcome::from_bytes(&welcome.to_bytes()).is_none());
    }
}
