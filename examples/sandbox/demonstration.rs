//! Files that show what can become of one.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::host::{Limits, Outcome};

/// Whether that is what should become of it.
type Expected = fn(&Outcome) -> bool;

/// A temporary directory with such files. Dropping it removes it.
pub(crate) struct Demonstration {
    directory: PathBuf,
    files: Vec<(PathBuf, Expected)>,
}

impl Demonstration {
    /// The most memory, in bytes, for which there is a file that takes more, and not too much time.
    pub(crate) const MOST_MEMORY: u64 = 128 << 20;

    /// Writes the files.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn new(limits: &Limits) -> io::Result<Self> {
        let (pid, random) = (std::process::id(), RandomState::new().hash_one(0) as u32);
        let directory = std::env::temp_dir().join(format!("ipcall-sandbox-{pid}-{random:08x}"));
        DirBuilder::new().mode(0o700).create(&directory)?;
        let mut demonstration = Self { directory, files: Vec::new() };
        demonstration.write(limits)?;
        Ok(demonstration)
    }

    /// The files, in order, each with what should become of it.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, Expected)> {
        self.files.iter().map(|(file, expected)| (file.as_path(), *expected))
    }

    fn write(&mut self, limits: &Limits) -> io::Result<()> {
        let good =
            br#"{"name": "a good one", "numbers": [1, 2.5, -3e4], "nested": {"deeper": [null]}}"#;
        self.add("good.json", good, |outcome| is_parsed(outcome, 9, 4))?;
        let list = format!("[{}]", vec!["true"; 10_000].join(", "));
        self.add("long.json", list, |outcome| is_parsed(outcome, 10_001, 2))?;
        self.add("cut-off.json", &good[..40], |o| matches!(o, Outcome::Refused(_)))?;
        self.add("no-json.bin", b"\x7fELF\x02\x01\x01", |o| matches!(o, Outcome::Refused(_)))?;
        self.add("deep.json", "[".repeat(1_000_000), |o| matches!(o, Outcome::Refused(_)))?;
        // An object of seven bytes takes some 650 in memory: more of them than fit.
        let objects = usize::try_from(limits.memory / 400).unwrap_or(usize::MAX);
        let huge = format!("[{}0]", "{\"\":0},".repeat(objects));
        self.add("huge.json", huge, |o| matches!(o, Outcome::OutOfMemory))?;
        self.add("good-again.json", good, |outcome| is_parsed(outcome, 9, 4))?;
        self.add("crash.json", br#"{"planted bug": "crash"}"#, |outcome| {
            matches!(outcome, Outcome::Crashed(Some(11), _))
        })?;
        self.add("hang.json", br#"{"planted bug": "hang"}"#, |outcome| {
            matches!(outcome, Outcome::DeadlineExceeded(_))
        })?;
        self.add("good-at-last.json", good, |outcome| is_parsed(outcome, 9, 4))
    }

    fn add(&mut self, name: &str, content: impl AsRef<[u8]>, expected: Expected) -> io::Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, content)?;
        self.files.push((path, expected));
        Ok(())
    }
}

fn is_parsed(outcome: &Outcome, values: u64, depth: u32) -> bool {
    matches!(outcome, Outcome::Parsed(summary) if (summary.values, summary.depth) == (values, depth))
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        // All that can be wrong is that somebody else has removed it.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
