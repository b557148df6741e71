//! Cutting a stream that lies in several buffers into messages, copying only where a message takes from
//! more than one of them.

use std::io::IoSlice;

/// What is still to be sent of some buffers.
pub(super) struct Unsent<'a> {
    buffers: &'a [IoSlice<'a>],
    /// Bytes of the first buffer that are sent.
    offset: usize,
}

impl<'a> Unsent<'a> {
    pub(super) fn new(buffers: &'a [IoSlice<'a>]) -> Self {
        Self { buffers, offset: 0 }
    }

    /// The next `size` bytes or all that is left, from where they are if one buffer has them, and else
    /// by way of `gathered`.
    pub(super) fn next_message<'b>(&mut self, gathered: &'b mut Vec<u8>, size: usize) -> &'b [u8]
    where
        'a: 'b,
    {
        self.skip_empty();
        let Some((first, others)) = self.buffers.split_first() else { return &[] };
        let first = &first[self.offset..];
        if first.len() >= size || others.iter().all(|other| other.is_empty()) {
            return &first[..first.len().min(size)];
        }
        gathered.clear();
        gathered.extend_from_slice(first);
        for other in others {
            let part = &other[..other.len().min(size - gathered.len())];
            gathered.extend_from_slice(part);
            if gathered.len() == size {
                break;
            }
        }
        gathered
    }

    pub(super) fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let left = self.buffers[0].len() - self.offset;
            if count < left {
                self.offset += count;
                return;
            }
            count -= left;
            self.buffers = &self.buffers[1..];
            self.offset = 0;
        }
    }

    fn skip_empty(&mut self) {
        while let Some((first, others)) = self.buffers.split_first()
            && first.len() == self.offset
        {
            self.buffers = others;
            self.offset = 0;
        }
    }
}
