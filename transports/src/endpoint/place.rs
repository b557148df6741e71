//! A path with a directory and a name, as endpoints in the file system have it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::Parts;

/// Where a file lies.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) directory: PathBuf,
    pub(crate) name: OsString,
}

impl Place {
    /// Understands an absolute path; the error says what would be right, like `example`.
    pub(crate) fn parse(parts: &Parts<'_>, example: &str) -> Result<Self, String> {
        let bytes = parts.rest()?;
        match bytes.first() {
            None => return Err(format!("a path is missing: write for example {example}")),
            Some(b'/') => {}
            Some(_) => return Err(format!("not an absolute path: write for example {example}")),
        }
        if bytes.contains(&0) {
            return Err("a path cannot contain a NUL".to_owned());
        }
        if bytes.ends_with(b"/") {
            return Err("the path names a directory: add a name in it".to_owned());
        }
        let path = PathBuf::from(OsString::from_vec(bytes));
        match (path.parent().map(Path::to_owned), path.file_name().map(OsString::from)) {
            (Some(directory), Some(name)) => Ok(Self { path, directory, name }),
            _ => Err("the path has no name at its end: add one".to_owned()),
        }
    }
}
