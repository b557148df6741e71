//! What is sent in pieces: a large message, or a part of a stream.

use std::fmt;
use std::sync::Arc;

use crate::wire::frame::{HEADER, Header, Kind, MORE, Prefix};

/// A message that is longer than a fragment, or a part of a stream, whose header is that of a `Data`.
#[derive(Debug)]
pub struct Bulk {
    /// The header of its first frame; `length` and [`MORE`] are filled in here.
    pub header: Header,
    /// The remaining time, in ns.
    pub remaining: Option<u64>,
    /// The metadata, encoded.
    pub metadata: Vec<u8>,
    /// What the payload starts with; short, it goes with the first frame.
    pub lead: Vec<u8>,
    /// The rest of the payload, behind `skip` bytes that are not sent.
    pub data: Vec<u8>,
    /// See `data`.
    pub skip: usize,
    /// Told when nothing of it waits any more.
    pub receipt: Option<Receipt>,
}

/// Tells who has sent something when it is gone, or given up.
pub struct Receipt(pub Arc<dyn Sender>);

/// Who has sent something, and waits until it is gone.
pub trait Sender: Send + Sync {
    /// Nothing of it waits any more.
    fn sent(&self);
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.0.sent();
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

impl Bulk {
    /// A part of the stream `header` is about, whose `code` is not looked at.
    pub fn part_of_stream(header: Header, data: Vec<u8>, receipt: Receipt) -> Self {
        let (metadata, lead) = (Vec::new(), Vec::new());
        Self { header, remaining: None, metadata, lead, data, skip: 0, receipt: Some(receipt) }
    }

    pub(super) fn is_part_of_stream(&self) -> bool {
        self.header.kind == Kind::Data
    }

    /// Bytes of the payload.
    pub(super) fn total(&self) -> usize {
        self.lead.len() + self.data.len() - self.skip
    }

    /// The header and fields of a message's first frame, and the lead of its payload; `length` bytes of its
    /// data follow.
    pub(super) fn first_head(&self, length: usize, head: &mut Vec<u8>) {
        let total = Some(self.total() as u64);
        let prefix = Prefix { total, remaining: self.remaining, metadata: &self.metadata };
        let mut header = self.header;
        header.flags |= prefix.flags() | MORE;
        let start = head.len();
        head.extend_from_slice(&header.to_bytes());
        prefix.write(head);
        head.extend_from_slice(&self.lead);
        let body = head.len() - start - HEADER + length;
        head[start..start + 4].copy_from_slice(&(body as u32).to_le_bytes());
    }
}
