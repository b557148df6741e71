//! Searching one file, for as long as somebody waits for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use grep_regex::RegexMatcher;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkFinish, SinkMatch};
use ipcall::Context;
use nix::fcntl::OFlag;

use super::{Found, LONGEST_LINE, Match};

/// How long a line may be that is searched, in bytes: it is in memory as a whole.
const LONGEST_SEARCHED: usize = 8 << 20;

/// What a match takes beside its path and its line, in bytes.
const MATCH: usize = 16;

/// Finds the lines of a file that match.
pub(crate) struct Lines<'a> {
    cx: &'a Context,
    matcher: RegexMatcher,
    searcher: Searcher,
    /// How many matches may be found yet.
    left: u32,
    /// What they may take, in bytes.
    room: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(cx: &'a Context, matcher: RegexMatcher, most: u32, room: usize) -> Self {
        let searcher = SearcherBuilder::new()
            .binary_detection(BinaryDetection::quit(b'\0'))
            .heap_limit(Some(LONGEST_SEARCHED))
            .build();
        Self { cx, matcher, searcher, left: most, room }
    }

    /// Searches the file at `path`, and adds what it has, as that of `shown`, to `found`.
    ///
    /// # Errors
    /// Those of the file, or some error if the call was cancelled.
    pub(crate) fn search(
        &mut self,
        path: &Path,
        shown: &[u8],
        found: &mut Found,
    ) -> io::Result<()> {
        // It may have been replaced since it was listed, also by something that blocks who opens it.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file any more"));
        }
        let Found { matches, totals, has_more, .. } = found;
        let watched = Watched { file, cx: self.cx, bytes: &mut totals.bytes };
        let begin = matches.len();
        let mut sink = Listing {
            cx: self.cx,
            path: shown,
            matches,
            has_more,
            left: self.left,
            room: self.room,
            is_binary: false,
        };
        let searched = self.searcher.search_reader(&self.matcher, watched, &mut sink);
        if sink.is_binary {
            totals.binary += 1;
            *sink.has_more = false;
            sink.matches.truncate(begin);
        } else {
            (self.left, self.room) = (sink.left, sink.room);
        }
        searched
    }
}

/// A file that can be read only while somebody waits for what is in it.
struct Watched<'a> {
    file: File,
    cx: &'a Context,
    bytes: &'a mut u64,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.cx.check()?;
            // A file may be far away, and then a read is ended, too.
            match self.cx.interruptible(|| self.file.read(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    *self.bytes += count as u64;
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes down the lines of a file as they are found.
struct Listing<'a> {
    cx: &'a Context,
    path: &'a [u8],
    matches: &'a mut Vec<Match>,
    has_more: &'a mut bool,
    left: u32,
    room: usize,
    is_binary: bool,
}

impl Sink for Listing<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        self.cx.check()?;
        let (line, is_cut) = cut(found.bytes());
        let size = self.path.len() + line.len() + MATCH;
        if self.left == 0 || self.room < size {
            *self.has_more = true;
            return Ok(false);
        }
        self.left -= 1;
        self.room -= size;
        self.matches.push(Match {
            path: self.path.to_vec(),
            number: found.line_number().unwrap_or_default(),
            line: line.to_vec(),
            is_cut,
        });
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> io::Result<()> {
        self.is_binary = finish.binary_byte_offset().is_some();
        Ok(())
    }
}

/// What of a line is listed, and whether that is not all of it. No character of UTF-8 is cut in two.
fn cut(line: &[u8]) -> (&[u8], bool) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() <= LONGEST_LINE {
        return (line, false);
    }
    let continues = |index: &usize| line[*index] & 0xc0 == 0x80;
    let end = (LONGEST_LINE - 3..=LONGEST_LINE).rev().find(|index| !continues(index));
    (&line[..end.unwrap_or(LONGEST_LINE)], true)
}
