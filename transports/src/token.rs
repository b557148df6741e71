//! Reading a shared secret from a file that nobody else can read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ipcall_core::{ErrorKind, RpcError};
use nix::unistd::geteuid;

/// The longest secret, in bytes.
const MAX_TOKEN: u64 = 4096;

/// The secret in the file `path`, without the newline at its end, for `Settings::token`.
///
/// # Errors
/// `Refused` when others may read the file, when it belongs to someone else, or when it is empty or
/// longer than 4096 bytes; otherwise the operating system's.
pub fn read_token_file(path: &Path) -> Result<Vec<u8>, RpcError> {
    let shown = path.display();
    let reading = |error| RpcError::io(format!("reading the token file {shown}"), error);
    let refused = |reason| RpcError::not_executed(ErrorKind::Refused { reason });

    let file = File::open(path).map_err(reading)?;
    let metadata = file.metadata().map_err(reading)?;
    let (mode, owner, own) = (metadata.mode() & 0o7777, metadata.uid(), geteuid().as_raw());
    if owner != own && owner != 0 {
        return Err(refused(format!(
            "the token file {shown} belongs to uid {owner}; it must belong to uid {own} or to root"
        )));
    }
    if mode & 0o077 != 0 {
        return Err(refused(format!(
            "the token file {shown} has mode {mode:04o}, so others may use it: run chmod 600 {shown}"
        )));
    }
    let mut token = Vec::new();
    file.take(MAX_TOKEN + 1).read_to_end(&mut token).map_err(reading)?;
    while token.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        token.pop();
    }
    match token.len() as u64 {
        0 => Err(refused(format!("the token file {shown} is empty"))),
        1..=MAX_TOKEN => Ok(token),
        _ => Err(refused(format!("the token file {shown} has more than {MAX_TOKEN} bytes"))),
    }
}
