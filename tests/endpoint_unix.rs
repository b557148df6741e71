//! `unix:`: who may own its directory and its socket, and what becomes of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "conformance/scratch.rs"]
mod scratch;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use ipcall_core::transport::{Binder, Connector};
use ipcall_core::{ErrorKind, RpcError, Settings};
use ipcall_transports::Endpoint;
use scratch::Scratch;

fn endpoint(path: &Path) -> Endpoint {
    Endpoint::parse(&format!("unix:{}", path.display())).unwrap()
}

fn bind_error(path: &Path) -> RpcError {
    endpoint(path).bind().map(drop).unwrap_err()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Tests that give files away need the right to.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

const SOMEBODY_ELSE: u32 = 65_534;

#[test]
fn the_directory_is_made_private_and_removed_with_its_last_socket() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("new");
    let first = endpoint(&directory.join("a")).bind().unwrap();
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("a")), 0o600);

    let second = endpoint(&directory.join("b")).bind().unwrap();
    drop(first);
    assert!(directory.exists(), "the second server is still in it");
    assert!(!directory.join("a").exists());
    drop(second);
    // Made by the first, which found it in use: it is left to whoever comes next.
    fs::remove_dir(&directory).unwrap();

    drop(endpoint(&directory.join("a")).bind().unwrap());
    assert!(!directory.exists());
}

#[test]
fn a_directory_that_was_there_stays() {
    let scratch = Scratch::new();
    drop(endpoint(&scratch.path().join("a")).bind().unwrap());
    assert!(scratch.path().exists());
}

#[test]
fn a_directory_open_to_others_is_refused() {
    let scratch = Scratch::new();
    for open in [0o750, 0o701, 0o711, 0o777, 0o1777] {
        fs::set_permissions(scratch.path(), Permissions::from_mode(open)).unwrap();
        let error = bind_error(&scratch.path().join("a"));
        assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
        let (text, mode) = (error.to_string(), format!("has mode {open:04o}"));
        assert!(text.contains(&mode) && text.contains("chmod 0700"), "{text}");
    }
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let scratch = Scratch::new();
    let directory = if is_root() {
        chown(scratch.path(), Some(SOMEBODY_ELSE), None).unwrap();
        scratch.path().to_owned()
    } else {
        PathBuf::from("/")
    };
    let error = bind_error(&directory.join("a"));
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("belongs to uid"), "{error}");
    assert!(error.to_string().contains("a directory of your own"), "{error}");
}

#[test]
fn a_directory_without_parent_is_named() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("no").join("where");
    let error = bind_error(&directory.join("a"));
    assert!(error.to_string().contains(&directory.display().to_string()), "{error}");
}

#[test]
fn allowed_users_get_through_the_directory_and_no_further() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("new");
    let mut settings = Settings::default();
    settings.allow_uids = vec![SOMEBODY_ELSE];
    let listener = endpoint(&directory.join("a")).with_settings(settings).bind().unwrap();
    assert_eq!(mode(&directory), 0o711);
    assert_eq!(mode(&directory.join("a")), 0o666);
    drop(listener);
    assert!(!directory.exists());
}

#[test]
fn files_that_are_no_sockets_are_refused_and_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");

    fs::write(&path, "precious").unwrap();
    let error = bind_error(&path);
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("a foreign file"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();

    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert!(bind_error(&path).to_string().contains("a foreign file"));
    fs::remove_file(&path).unwrap();

    let datagrams = UnixDatagram::bind(&path).unwrap();
    assert!(bind_error(&path).to_string().contains("a foreign socket"));
    drop(datagrams);
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_stale_socket_of_somebody_else_is_refused() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    drop(UnixListener::bind(&path).unwrap());
    chown(&path, Some(SOMEBODY_ELSE), None).unwrap();
    let error = bind_error(&path);
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("belongs to uid 65534"), "{error}");
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_server_that_does_not_accept_still_lives() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let _listener = endpoint(&path).bind().unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        match endpoint(&path).try_connect() {
            Ok(client) => waiting.push(client),
            Err(error) => break error,
        }
    };
    assert!(matches!(full.kind(), ErrorKind::ServerAbsent { .. }), "{full:?}");
    assert!(full.to_string().contains("its backlog is full"), "{full}");
    let error = bind_error(&path);
    assert!(matches!(error.kind(), ErrorKind::AddressInUse { .. }), "{error:?}");
}

#[test]
fn a_socket_put_in_place_of_ours_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let listener = endpoint(&path).bind().unwrap();
    fs::remove_file(&path).unwrap();
    let other = endpoint(&path).bind().unwrap();
    drop(listener);
    endpoint(&path).try_connect().unwrap();
    drop(other);
}

#[test]
fn without_server_the_client_is_told_what_is_missing() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let error = endpoint(&path).try_connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    assert!(error.to_string().contains("there is no socket"), "{error}");

    drop(UnixListener::bind(&path).unwrap());
    let error = endpoint(&path).try_connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    assert!(error.to_string().contains("nobody listens"), "{error}");
    fs::remove_file(&path).unwrap();
}
