//! The frame: a fixed header of 16 bytes, little-endian, and a body.
//!
//! ```text
//!  0      4     5      6     8          16
//!  | length | kind | flags | code |   id   | body: `length` bytes ...
//!    u32      u8     u8      u16     u64
//! ```
//!
//! The body of a `Call` or `Reply` starts with the fields that its flags announce, in this order: the
//! total length of a fragmented message (u64), the remaining time (u64, ns), the metadata (u32 length,
//! then that many bytes). What follows is payload. This module turns headers and prefixes into bytes
//! and back; it does not know what the frames mean.

/// Bytes of a header.
pub const HEADER: usize = 16;

/// What each side sends before its first frame. The first byte is not ASCII, so that no text protocol
/// can be mistaken for this one.
pub const PREFACE: [u8; 8] = *b"\x89ipcall\n";

/// The longest payload that goes in one frame, in bytes; what is longer goes in several.
pub const FRAGMENT: usize = 64 << 10;

/// The largest body of a `Data` frame, in bytes. Only a message that has the connection to itself
/// should go in pieces of more than [`FRAGMENT`]: whatever is sent meanwhile waits for a piece to end.
pub const PIECE: usize = 256 << 10;

/// The largest metadata of a call, encoded, in bytes.
pub const METADATA: usize = 16 << 10;

/// The largest body of a frame other than `Hello` and `Data`, in bytes: a payload and all optional
/// fields.
pub const BODY: usize = FRAGMENT + 8 + 8 + 4 + METADATA;

/// The largest body of a `Hello`, in bytes.
pub const HELLO_BODY: usize = 1 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The first frame of each side.
    Hello = 1,
    /// A call, whole or its first fragment. `code`: the method's number. `id`: chosen by the caller.
    Call = 2,
    /// The answer to a call. `code`: the status.
    Reply = 3,
    /// The caller no longer wants an answer.
    Cancel = 4,
    /// A further fragment of a message, or items of a stream.
    Data = 5,
    /// Leave to send more of a stream. Body: see [`Credit`].
    Credit = 6,
    /// Asks for the same with [`ANSWER`] set.
    Ping = 7,
    /// The sender is about to close. `code`: why; body: text.
    Goodbye = 8,
}

impl Kind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Call,
            3 => Self::Reply,
            4 => Self::Cancel,
            5 => Self::Data,
            6 => Self::Credit,
            7 => Self::Ping,
            8 => Self::Goodbye,
            _ => return None,
        })
    }
}

/// Flag: the message goes on in `Data` frames, and its total length (u64) stands in this one.
pub const MORE: u8 = 1;
/// Flag of a `Call`: the remaining time (u64, ns) is given.
pub const DEADLINE: u8 = 1 << 1;
/// Flag of a `Call`: metadata (u32 length and bytes) is given.
pub const WITH_METADATA: u8 = 1 << 2;
/// Flag of a `Call`: no reply is wanted.
pub const ONEWAY: u8 = 1 << 3;
/// Flag of a `Data`, `Credit` or `Ping`: its id was chosen by the receiver. So it is part of an answer, or leave to
/// send more of an argument.
pub const ANSWER: u8 = 1 << 4;
/// Flag of a `Data`: it carries a part of a stream, and not of a message.
pub const ITEM: u8 = 1 << 5;
/// Flag of a `Data` with [`ITEM`]: the stream ends with it. Of a `Credit`: no more of the stream is wanted.
pub const END: u8 = 1 << 6;

/// The flags that a frame of this kind may bear.
pub fn allowed_flags(kind: Kind) -> u8 {
    match kind {
        Kind::Call => MORE | DEADLINE | WITH_METADATA | ONEWAY,
        Kind::Reply => MORE,
        Kind::Data => ANSWER | ITEM | END,
        Kind::Credit => ANSWER | END,
        Kind::Ping => ANSWER,
        Kind::Hello | Kind::Cancel | Kind::Goodbye => 0,
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub length: u32,
    /// What the frame is.
    pub kind: Kind,
    /// What its body starts with, and how it is meant.
    pub flags: u8,
    /// The method's number, the status, or the reason.
    pub code: u16,
    /// The call.
    pub id: u64,
}

impl Header {
    /// A header for a frame with an empty body.
    pub fn new(kind: Kind, id: u64) -> Self {
        Self { length: 0, kind, flags: 0, code: 0, id }
    }

    /// The header's bytes.
    #[inline]
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.code.to_le_bytes());
        bytes[8..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// An unknown kind, a flag that the kind does not have, or a body longer than its limit.
    #[inline]
    pub fn from_bytes(bytes: &[u8; HEADER]) -> Result<Self, BadFrame> {
        let [l0, l1, l2, l3, kind, flags, c0, c1, id @ ..] = *bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let kind = Kind::from_number(kind).ok_or(BadFrame::Kind(kind))?;
        // What ends is a stream.
        let without = if kind == Kind::Data && flags & ITEM == 0 { END } else { 0 };
        if flags & (!allowed_flags(kind) | without) != 0 {
            return Err(BadFrame::Flags { kind, flags });
        }
        let limit = match kind {
            Kind::Hello => HELLO_BODY,
            Kind::Data => PIECE,
            _ => BODY,
        };
        if length as usize > limit {
            return Err(BadFrame::Length { kind, length, limit });
        }
        Ok(Self {
            length,
            kind,
            flags,
            code: u16::from_le_bytes([c0, c1]),
            id: u64::from_le_bytes(id),
        })
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// The kind is unknown.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    /// A flag does not belong to the kind.
    #[error("a {kind:?} frame with flags {flags:#04x}, of which it allows {:#04x}", allowed_flags(*kind))]
    Flags {
        /// The kind.
        kind: Kind,
        /// All its flags.
        flags: u8,
    },
    /// The body is longer than any frame of its kind.
    #[error("a {kind:?} frame of {length} bytes, and the limit is {limit}")]
    Length {
        /// The kind.
        kind: Kind,
        /// Bytes of the body.
        length: u32,
        /// The most there may be.
        limit: usize,
    },
    /// The metadata is longer than any call may have.
    #[error("a {kind:?} frame with {length} bytes of metadata, and the limit is {METADATA}")]
    Metadata {
        /// The kind.
        kind: Kind,
        /// Bytes of the metadata.
        length: usize,
    },
    /// The body is too short for what its flags announce.
    #[error("a {kind:?} frame whose body of {length} bytes is too short for its fields")]
    Short {
        /// The kind.
        kind: Kind,
        /// Bytes of the body.
        length: usize,
    },
}

/// The optional fields at the start of a `Call` or `Reply` body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// The length of the whole payload, when this frame has only its first part.
    pub total: Option<u64>,
    /// The time that is left, in ns.
    pub remaining: Option<u64>,
    /// The metadata, still encoded; empty when there is none.
    pub metadata: &'a [u8],
}

impl<'a> Prefix<'a> {
    /// The flags that announce these fields.
    pub fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.total.is_some() {
            flags |= MORE;
        }
        if self.remaining.is_some() {
            flags |= DEADLINE;
        }
        if !self.metadata.is_empty() {
            flags |= WITH_METADATA;
        }
        flags
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Vec<u8>) {
        for number in [self.total, self.remaining].into_iter().flatten() {
            out.extend_from_slice(&number.to_le_bytes());
        }
        if !self.metadata.is_empty() {
            // The length was checked against METADATA where the metadata was set.
            out.extend_from_slice(&(self.metadata.len() as u32).to_le_bytes());
            out.extend_from_slice(self.metadata);
        }
    }

    /// Splits a body into its fields and its payload.
    ///
    /// # Errors
    /// [`BadFrame::Short`] when the body ends within a field, [`BadFrame::Metadata`] when the metadata is
    /// too long.
    #[inline]
    pub fn read(header: &Header, body: &'a [u8]) -> Result<(Self, &'a [u8]), BadFrame> {
        let mut prefix = Self::default();
        if header.flags & (MORE | DEADLINE | WITH_METADATA) == 0 {
            return Ok((prefix, body));
        }
        let short = BadFrame::Short { kind: header.kind, length: body.len() };
        let mut rest = body;
        if header.flags & MORE != 0 {
            prefix.total = Some(read_u64(&mut rest).ok_or(short)?);
        }
        if header.flags & DEADLINE != 0 {
            prefix.remaining = Some(read_u64(&mut rest).ok_or(short)?);
        }
        if header.flags & WITH_METADATA != 0 {
            let (length, after) = rest.split_first_chunk::<4>().ok_or(short)?;
            let length = u32::from_le_bytes(*length) as usize;
            if length > METADATA {
                return Err(BadFrame::Metadata { kind: header.kind, length });
            }
            let (metadata, after) = after.split_at_checked(length).ok_or(short)?;
            prefix.metadata = metadata;
            rest = after;
        }
        Ok((prefix, rest))
    }
}

/// The body of a `Credit`: how much more of a stream may be sent. Little-endian, 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Bytes.
    pub bytes: u32,
    /// Items.
    pub items: u32,
}

impl Credit {
    /// The sum, or as much as can be counted.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            items: self.items.saturating_add(other.items),
        }
    }

    /// The whole frame.
    pub fn to_frame(self, mut header: Header) -> [u8; HEADER + 8] {
        header.length = 8;
        let mut frame = [0; HEADER + 8];
        frame[..HEADER].copy_from_slice(&header.to_bytes());
        frame[HEADER..HEADER + 4].copy_from_slice(&self.bytes.to_le_bytes());
        frame[HEADER + 4..].copy_from_slice(&self.items.to_le_bytes());
        frame
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`BadFrame::Short`] when it is none.
    pub fn read(body: &[u8]) -> Result<Self, BadFrame> {
        let &[b0, b1, b2, b3, i0, i1, i2, i3] = body else {
            return Err(BadFrame::Short { kind: Kind::Credit, length: body.len() });
        };
        let (bytes, items) = ([b0, b1, b2, b3], [i0, i1, i2, i3]);
        Ok(Self { bytes: u32::from_le_bytes(bytes), items: u32::from_le_bytes(items) })
    }
}

fn read_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_round_trip() {
        let header =
            Header { length: 7, kind: Kind::Call, flags: ONEWAY, code: 0x1234, id: u64::MAX };
        assert_eq!(Header::from_bytes(&header.to_bytes()), Ok(header));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let mut bytes = Header::new(Kind::Ping, 1).to_bytes();
        for kind in [0, 9, 255] {
            bytes[4] = kind;
            assert_eq!(Header::from_bytes(&bytes), Err(BadFrame::Kind(kind)));
        }
    }

    #[test]
    fn a_flag_of_another_kind_is_refused() {
        let mut bytes = Header::new(Kind::Cancel, 1).to_bytes();
        bytes[5] = MORE;
        assert_eq!(
            Header::from_bytes(&bytes),
            Err(BadFrame::Flags { kind: Kind::Cancel, flags: MORE })
        );
    }

    #[test]
    fn a_body_over_the_limit_is_refused_by_its_header() {
        let mut header = Header::new(Kind::Data, 1);
        header.length = u32::MAX;
        let error = Header::from_bytes(&header.to_bytes()).expect_err("too long");
        assert_eq!(
            error.to_string(),
            format!("a Data frame of 4294967295 bytes, and the limit is {PIECE}")
        );
    }

    #[test]
    fn a_prefix_survives_the_round_trip_and_no_part_of_it_does() {
        let prefix = Prefix { total: Some(1 << 40), remaining: Some(5), metadata: b"meta" };
        let mut body = Vec::new();
        prefix.write(&mut body);
        let fields = body.len();
        body.extend_from_slice(b"payload");
        let mut header = Header::new(Kind::Call, 1);
        header.flags = prefix.flags();
        assert_eq!(Prefix::read(&header, &body), Ok((prefix, &b"payload"[..])));
        for cut in 0..fields {
            assert!(Prefix::read(&header, &body[..cut]).is_err(), "cut at {cut}");
        }
    }
}
