//! Reading a text in parts that fit into a message, without cutting words.

use std::io::{self, Read};

use super::{LONGEST_LISTED, is_space};

/// The parts of a text, in order. One part is in memory at a time.
pub(crate) struct Parts<R> {
    input: R,
    /// As long as a part may be. What has been read and not been handed out lies at its front.
    buffer: Vec<u8>,
    filled: usize,
    /// How much of the front was handed out last; it goes when the next part is asked for.
    handed_out: usize,
    inside_word: bool,
}

/// A part: it ends behind white space, or at the end of the text, or in a word longer than a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) text: &'a [u8],
    /// Whether the part before this ended in the middle of a word.
    pub(crate) inside_word: bool,
}

impl<R: Read> Parts<R> {
    /// The least that a part may be long: more than any word that is listed.
    pub(crate) const SHORTEST: usize = LONGEST_LISTED + 1;

    /// The parts of `input`, of at most `size` bytes, and of [`SHORTEST`](Self::SHORTEST) if `size` is
    /// less.
    pub(crate) fn new(input: R, size: usize) -> Self {
        let buffer = vec![0; size.max(Self::SHORTEST)];
        Self { input, buffer, filled: 0, handed_out: 0, inside_word: false }
    }

    /// The next part; `None` at the end of the text.
    ///
    /// # Errors
    /// Those of the input.
    pub(crate) fn next(&mut self) -> io::Result<Option<Part<'_>>> {
        let inside_word = self.inside_word;
        self.buffer.copy_within(self.handed_out..self.filled, 0);
        self.filled -= self.handed_out;
        self.handed_out = 0;
        let at_end = self.fill()?;
        let text = &self.buffer[..self.filled];
        let end = match text.iter().rposition(|byte| is_space(*byte)) {
            _ if at_end => text.len(),
            Some(space) => space + 1,
            None => text.len(),
        };
        let Some(last) = end.checked_sub(1) else { return Ok(None) };
        self.inside_word = !is_space(text[last]);
        self.handed_out = end;
        Ok(Some(Part { text: &text[..end], inside_word }))
    }

    /// Reads until the buffer is full; true if the text ended before.
    fn fill(&mut self) -> io::Result<bool> {
        while self.filled < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(true),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
