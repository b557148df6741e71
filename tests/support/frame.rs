//! Frames as the protocol's description has them, written without the code that is tested.

/// Bytes of a header.
pub(crate) const HEADER: usize = 16;
/// What each side sends first.
pub(crate) const PREFACE: &[u8] = b"\x89ipcall\n";

pub(crate) const HELLO: u8 = 1;
pub(crate) const CALL: u8 = 2;
pub(crate) const REPLY: u8 = 3;
pub(crate) const CANCEL: u8 = 4;
pub(crate) const DATA: u8 = 5;
pub(crate) const CREDIT: u8 = 6;
pub(crate) const PING: u8 = 7;
pub(crate) const GOODBYE: u8 = 8;

pub(crate) const MORE: u8 = 1;
pub(crate) const DEADLINE: u8 = 2;
pub(crate) const METADATA: u8 = 4;
pub(crate) const ONEWAY: u8 = 8;
pub(crate) const ANSWER: u8 = 16;
pub(crate) const ITEM: u8 = 32;
pub(crate) const END: u8 = 64;

/// A frame, right or wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) code: u16,
    pub(crate) id: u64,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, id: u64) -> Self {
        Self { kind, id, ..Self::default() }
    }

    /// A call that fits one frame.
    pub(crate) fn call(method: u16, id: u64, arguments: &[u8]) -> Self {
        Self { kind: CALL, code: method, id, body: arguments.to_vec(), flags: 0 }
    }

    /// A reply with the method's value.
    pub(crate) fn reply(id: u64, value: &[u8]) -> Self {
        Self { kind: REPLY, id, body: value.to_vec(), ..Self::default() }
    }

    /// The first frame of a call in fragments, of `total` bytes in all.
    pub(crate) fn beginning(method: u16, id: u64, total: u64, first: &[u8]) -> Self {
        let body = [&total.to_le_bytes(), first].concat();
        Self { kind: CALL, flags: MORE, code: method, id, body }
    }

    /// A further fragment of a call.
    pub(crate) fn fragment(id: u64, part: &[u8]) -> Self {
        Self { kind: DATA, id, body: part.to_vec(), ..Self::default() }
    }

    pub(crate) fn with_flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_of_length(self.body.len() as u32)
    }

    /// The same with another length in its header.
    pub(crate) fn to_bytes_of_length(&self, length: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&[self.kind, self.flags]);
        bytes.extend_from_slice(&self.code.to_le_bytes());
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Takes a frame off the front of `bytes`, if a whole one is there.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let header: [u8; HEADER] = *bytes.first_chunk()?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        if bytes.len() < HEADER + length {
            return None;
        }
        let body = bytes.drain(..HEADER + length).skip(HEADER).collect();
        let [_, _, _, _, kind, flags, c0, c1, id @ ..] = header;
        Some(Self {
            kind,
            flags,
            code: u16::from_le_bytes([c0, c1]),
            id: u64::from_le_bytes(id),
            body,
        })
    }

    /// Its body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A number as postcard writes it.
pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Bytes as postcard writes them.
pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A `Hello` of a client, in the words of the protocol's description.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) version: u64,
    pub(crate) message_limit: u64,
    pub(crate) held_limit: u64,
    pub(crate) calls_in_flight: u64,
    pub(crate) stream_bytes: u64,
    pub(crate) stream_items: u64,
    pub(crate) token: Vec<u8>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            version: 1,
            message_limit: 64 << 20,
            held_limit: 256 << 20,
            calls_in_flight: 1024,
            stream_bytes: 256 << 10,
            stream_items: 16 << 10,
            token: Vec::new(),
        }
    }
}

impl Hello {
    /// The frame, with no services.
    pub(crate) fn frame(&self) -> Frame {
        self.frame_with(&[0])
    }

    /// The frame, with services as they are encoded.
    pub(crate) fn frame_with(&self, services: &[u8]) -> Frame {
        let mut body = Vec::new();
        for number in [self.version, self.message_limit, self.held_limit, self.calls_in_flight] {
            body.extend(varint(number));
        }
        for number in [self.stream_bytes, self.stream_items] {
            body.extend(varint(number));
        }
        body.extend(counted(&self.token));
        // No doorbell: a signal and a process.
        body.extend([0, 0]);
        body.extend_from_slice(services);
        Frame { kind: HELLO, body, ..Frame::default() }
    }

    /// The preface and the frame.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [PREFACE, &self.frame().to_bytes()].concat()
    }
}
