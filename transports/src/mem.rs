//! `mem:NAME`: both sides in one process, over the core's in-process rings.
//!
//! Mechanism, system calls, limits and what it is not for: [`ipcall_core::transport::memory`]. What is
//! here is how its endpoints are written.

use std::path::Path;

use crate::endpoint::Parts;
use crate::endpoint::percent;

/// The name of a listener in this process.
pub(crate) fn parse(parts: &Parts<'_>) -> Result<String, String> {
    let name = String::from_utf8(parts.rest()?)
        .map_err(|_| "the name after `mem:` is not UTF-8".to_owned())?;
    if name.is_empty() {
        return Err("a name is missing: write for example mem:wordcount".to_owned());
    }
    Ok(name)
}

/// A name that nobody else uses, as long as nobody else uses `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    format!("mem:{}", percent::encode_path(&directory.join(name)))
}
