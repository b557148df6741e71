//! The service of the search pair: finding lines in the files of a directory tree.
//!
//! `search_server` offers it, and `search_client` asks. What both have to agree on stands here; `walk` and
//! `lines` are the server's side: the files of a tree, and the lines of a file.

#![allow(dead_code, reason = "each side uses the part of it that it needs")]

pub(crate) mod lines;
pub(crate) mod walk;

use std::fmt;

use ipcall::{Cancelled, Context, ipc_service};
use serde::{Deserialize, Serialize};

/// Paths are bytes, as they need not be UTF-8, and so are lines.
#[ipc_service]
pub(crate) trait Search {
    /// Searches one file, or all below a directory. It takes as long as that takes, and ends early when it is
    /// cancelled: a handler that blocks looks whether somebody still waits.
    #[ipc(idempotent)]
    fn search(&self, cx: &Context, query: &Query) -> Result<Found, SearchError>;
}

/// What is searched for, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Query {
    /// A regular expression, in the syntax of the crate `regex`.
    pub(crate) pattern: String,
    /// Absolute. If it is a symbolic link, it is followed; those below it are not.
    #[serde(with = "serde_bytes")]
    pub(crate) path: Vec<u8>,
    /// How many lines are listed, at most; the server may have a lower limit.
    pub(crate) max_count: u32,
    /// The pattern is text and no expression.
    pub(crate) is_fixed: bool,
    pub(crate) ignores_case: bool,
    /// Files whose names begin with a dot are searched, too.
    pub(crate) with_hidden: bool,
    /// So are those that `.gitignore` and `.ignore` exclude.
    pub(crate) with_ignored: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// In the order of the paths, and within a file in that of the lines.
    pub(crate) matches: Vec<Match>,
    /// There is more, and the search has ended where a limit was reached.
    pub(crate) has_more: bool,
    pub(crate) totals: Totals,
    /// Why files and directories were not searched: the first [`LISTED_FAILURES`].
    pub(crate) failures: Vec<String>,
}

/// A line with a match in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Match {
    /// From where the search began; empty if that is this file.
    #[serde(with = "serde_bytes")]
    pub(crate) path: Vec<u8>,
    /// The number of the line, from 1.
    pub(crate) number: u64,
    /// Without its end, and at most [`LONGEST_LINE`] bytes of it.
    #[serde(with = "serde_bytes")]
    pub(crate) line: Vec<u8>,
    /// The line is longer.
    pub(crate) is_cut: bool,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Files that were searched, the binary ones among them.
    pub(crate) files: u64,
    /// What was read of them.
    pub(crate) bytes: u64,
    /// Files in which nothing counts as found, because there is a zero byte in them.
    pub(crate) binary: u64,
    /// Files and directories that could not be searched.
    pub(crate) failed: u64,
}

/// How many lines a server lists at the most, whatever it is asked for.
pub(crate) const MOST_MATCHES: u32 = 100_000;

/// How much of a line is listed, in bytes.
pub(crate) const LONGEST_LINE: usize = 512;

/// How many failures are listed.
pub(crate) const LISTED_FAILURES: usize = 5;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SearchError {
    /// The pattern is not right; what is wrong, where, may take several lines.
    BadPattern { problem: String },
    /// Where the search is to begin is nothing.
    NoSuchPath { path: String, problem: String },
    /// Nobody waits any more, so nobody gets this.
    Stopped { why: String },
}

impl From<Cancelled> for SearchError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Stopped { why: cancelled.to_string() }
    }
}

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPattern { problem } => f.write_str(problem),
            Self::NoSuchPath { path, problem } => write!(f, "{path}: {problem}"),
            Self::Stopped { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for SearchError {}
