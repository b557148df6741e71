//! The service that the examples share: counting lines, words and bytes.
//!
//! `wordcount_server` offers it, `wordcount_client` calls it for the parts of files, and `tour` calls
//! it over every transport. What both processes have to agree on stands here; `counting` is the
//! server's side, `parts` and `sum` are the client's.

#![allow(dead_code, reason = "each example uses the part of it that it needs")]

pub(crate) mod counting;
pub(crate) mod parts;
pub(crate) mod sum;

use ipcall::ipc_service;
use serde::{Deserialize, Serialize};

/// Words are what white space separates; a text is bytes, and need not be UTF-8.
#[ipc_service]
pub(crate) trait WordCount {
    /// Counts a whole text. Of its words the [`LISTED`] commonest are listed, the commonest first.
    #[ipc(idempotent)]
    async fn count(&self, text: &[u8]) -> Counts;

    /// Counts one part of a text that is too long for one message. Its words are all listed, in no
    /// order, so that the parts can be added up.
    ///
    /// `inside_word` says that the part before this ended in the middle of a word. That word was
    /// counted there, and what is left of it here is not counted again.
    #[ipc(idempotent)]
    fn tally(&self, part: &[u8], inside_word: bool) -> Counts;
}

/// How many of the commonest words are listed.
pub(crate) const LISTED: usize = 10;

/// The longest word that is listed, in bytes. Longer ones are counted like all others.
///
/// It bounds what has to be remembered, and lets a text without white space be sent in parts: a word
/// that is longer than a part is longer than this.
pub(crate) const LONGEST_LISTED: usize = 255;

/// What there is in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) totals: Totals,
    pub(crate) words: Vec<Frequency>,
}

/// The three numbers of `wc` in the C locale. As POSIX has it, every byte that is no white space is part
/// of a word; older versions of GNU `wc` want one that can be printed in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
}

/// A word, and how often it occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frequency {
    #[serde(with = "serde_bytes")]
    pub(crate) word: Vec<u8>,
    pub(crate) count: u64,
}

/// White space as `isspace(3)` sees it in the C locale: one more than `is_ascii_whitespace`, the
/// vertical tab.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
