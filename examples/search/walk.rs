//! Searching a tree: what the server does.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use ignore::WalkBuilder;
use ipcall::{Cancelled, Context};

use super::lines::Lines;
use super::{Found, LISTED_FAILURES, MOST_MATCHES, Query, Search, SearchError, Totals};
use crate::pair::say;

/// What a compiled pattern may take, in bytes.
const LARGEST_PATTERN: usize = 16 << 20;

/// The service. It searches what its process may read, for whoever may connect.
pub(crate) struct Searcher {
    /// What the matches of one search may take, in bytes, so that they fit into a message.
    pub(crate) room: usize,
    /// Says when a search begins and how it ends, also of those that are not stopped.
    pub(crate) is_verbose: bool,
}

impl Search for Searcher {
    fn search(&self, cx: &Context, query: &Query) -> Result<Found, SearchError> {
        let say = |what: fmt::Arguments<'_>| {
            say("search_server", format_args!("search for {:?} {what}", query.pattern));
        };
        let matcher = matcher(query)?;
        let path = Path::new(OsStr::from_bytes(&query.path));
        let root = fs::canonicalize(path).map_err(|error| SearchError::NoSuchPath {
            path: path.display().to_string(),
            problem: error.to_string(),
        })?;
        if self.is_verbose {
            say(format_args!("below {} begins", root.display()));
        }
        let mut walk = Walk {
            cx,
            lines: Lines::new(cx, matcher, query.max_count.min(MOST_MATCHES), self.room),
            found: Found::default(),
        };
        let walked = walk.run(&root, query);
        let Totals { files, bytes, .. } = walk.found.totals;
        if let Err(cancelled) = walked {
            say(format_args!("stopped after {files} files, {bytes} bytes: {cancelled}"));
            return Err(cancelled.into());
        }
        if self.is_verbose {
            say(format_args!("has searched {files} files, {bytes} bytes"));
        }
        // A file's matches lie together, in the order of their lines, and stay so.
        walk.found.matches.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(walk.found)
    }
}

fn matcher(query: &Query) -> Result<RegexMatcher, SearchError> {
    RegexMatcherBuilder::new()
        .line_terminator(Some(b'\n'))
        .fixed_strings(query.is_fixed)
        .case_insensitive(query.ignores_case)
        .size_limit(LARGEST_PATTERN)
        .dfa_size_limit(LARGEST_PATTERN)
        .build(&query.pattern)
        .map_err(|error| SearchError::BadPattern { problem: error.to_string() })
}

/// One search.
struct Walk<'a> {
    cx: &'a Context,
    lines: Lines<'a>,
    found: Found,
}

impl Walk<'_> {
    /// # Errors
    /// Why the call was cancelled. What was found until then is there.
    fn run(&mut self, root: &Path, query: &Query) -> Result<(), Cancelled> {
        let entries = WalkBuilder::new(root)
            .standard_filters(!query.with_ignored)
            .hidden(!query.with_hidden)
            // Trees that are not in a repository may have a .gitignore, too.
            .require_git(false)
            // What the server's user prefers is nothing to the client.
            .git_global(false)
            .build();
        for entry in entries {
            // Whoever has a handler that blocks looks as often as this.
            self.cx.check()?;
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    self.search_file(root, entry.path())?;
                }
                Ok(_) => {}
                Err(error) => self.fail(error.to_string()),
            }
            if self.found.has_more {
                break;
            }
        }
        Ok(())
    }

    fn search_file(&mut self, root: &Path, path: &Path) -> Result<(), Cancelled> {
        let shown = path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes();
        match self.lines.search(path, shown, &mut self.found) {
            Ok(()) => self.found.totals.files += 1,
            Err(error) => {
                self.cx.check()?;
                self.fail(format!("{}: {error}", path.display()));
            }
        }
        Ok(())
    }

    fn fail(&mut self, problem: String) {
        self.found.totals.failed += 1;
        if self.found.failures.len() < LISTED_FAILURES {
            self.found.failures.push(problem);
        }
    }
}
