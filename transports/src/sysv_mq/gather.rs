//! Several slices as one stream of bytes, copied from piece by piece: a message has to be in one place.

use std::io::IoSlice;

/// What is left of some slices.
pub(super) struct Gather<'a> {
    slices: &'a [IoSlice<'a>],
    /// Bytes of the first slice that are done with.
    skipped: usize,
    left: usize,
}

impl<'a> Gather<'a> {
    pub(super) fn new(slices: &'a [IoSlice<'a>]) -> Self {
        Self { slices, skipped: 0, left: slices.iter().map(|slice| slice.len()).sum() }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Copies the first bytes that are left to `to`, which is not longer than they are.
    pub(super) fn copy_to(&self, mut to: &mut [u8]) {
        let mut skipped = self.skipped;
        for slice in self.slices {
            let from = &slice[skipped..];
            skipped = 0;
            let count = from.len().min(to.len());
            let (here, rest) = to.split_at_mut(count);
            here.copy_from_slice(&from[..count]);
            to = rest;
            if to.is_empty() {
                return;
            }
        }
    }

    /// Is done with the first `count` bytes that are left.
    pub(super) fn advance(&mut self, mut count: usize) {
        self.left -= count;
        while let Some((first, rest)) = self.slices.split_first() {
            let here = first.len() - self.skipped;
            if count < here {
                self.skipped += count;
                return;
            }
            count -= here;
            self.skipped = 0;
            self.slices = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_copied_piece_by_piece() {
        let slices = [&b""[..], b"ab", b"", b"cdefg", b"h", b""].map(IoSlice::new);
        for piece in 1..10 {
            let mut gather = Gather::new(&slices);
            let mut copied = Vec::new();
            while !gather.is_empty() {
                let mut bytes = vec![0; piece.min(gather.left())];
                gather.copy_to(&mut bytes);
                gather.advance(bytes.len());
                copied.extend(bytes);
            }
            assert_eq!(copied, b"abcdefgh");
        }
        assert!(Gather::new(&[]).is_empty());
    }
}
