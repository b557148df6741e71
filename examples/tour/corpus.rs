//! What is sent, and what has to come back for it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::wordcount::Counts;
use crate::wordcount::counting;
use crate::wordcount::parts::{Part, Parts};

/// The longest text in one call, in bytes: short enough for a transport to matter beside the counting,
/// and for a slow build to make some thousand calls a second.
const PIECE: usize = 4 << 10;

/// A file, or a part of it, with this process's own count.
pub(crate) struct Piece {
    pub(crate) file: PathBuf,
    pub(crate) text: Vec<u8>,
    pub(crate) counts: Counts,
}

/// Reads `files`, or the package's own README and sources if none is named.
///
/// # Errors
/// The first file that cannot be read.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<Piece>, String> {
    let own;
    let files = if files.is_empty() {
        own = own_files().map_err(|error| format!("{error}; name the files to send"))?;
        &own
    } else {
        files
    };
    let mut pieces = Vec::new();
    for path in files {
        let split = split(path, &mut pieces);
        split.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if pieces.is_empty() {
        // All of them are empty, which can be counted, too.
        pieces.push(Piece { file: files[0].clone(), text: Vec::new(), counts: Counts::default() });
    }
    Ok(pieces)
}

fn split(path: &Path, pieces: &mut Vec<Piece>) -> io::Result<()> {
    let mut parts = Parts::new(File::open(path)?, PIECE);
    while let Some(Part { text, .. }) = parts.next()? {
        let (text, counts) = (text.to_vec(), counting::whole(text));
        pieces.push(Piece { file: path.to_owned(), text, counts });
    }
    Ok(())
}

fn own_files() -> Result<Vec<PathBuf>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    let found = sources(root, &mut files);
    found.map_err(|error| format!("looking for sources in {}: {error}", root.display()))?;
    files.sort();
    Ok(files)
}

/// Adds the Rust files in `directory` and below, but not what was built.
fn sources(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let is_built = name == "target" || name.to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir() && !is_built {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
