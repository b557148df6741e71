//! Directory, rendezvous and pairs are the own user's, or are not used.

use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind::PermissionDenied;
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink,
};
use std::path::Path;

use ipcall::transport::{Binder, Connector};
use ipcall::{ErrorKind, RpcError, Settings};
use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::endpoint;
use crate::roles::{Process, SOMEBODY_ELSE, until_told};
use crate::support::assert_kind;
use crate::support::scratch::Scratch;

/// Tests that give files away need the right to.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn connect_error(path: &Path) -> RpcError {
    endpoint(path).try_connect().unwrap_err()
}

fn bind_error(path: &Path) -> RpcError {
    endpoint(path).bind().map(drop).unwrap_err()
}

#[track_caller]
fn assert_refused(error: &RpcError, text: &str) {
    assert_kind!(error, ErrorKind::Refused { .. });
    assert!(error.to_string().contains(text), "{error}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn make_fifo(path: &Path) {
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

#[test]
fn the_directory_is_made_private_and_removed_with_its_last_server() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("new");
    let listening = endpoint(&directory.join("a")).bind().unwrap();
    assert_eq!((mode(&directory), mode(&directory.join("a"))), (0o700, 0o600));
    let _client = endpoint(&directory.join("a")).try_connect().unwrap();
    for entry in fs::read_dir(&directory).unwrap() {
        let pair = entry.unwrap().path();
        if pair.is_dir() {
            let modes = [mode(&pair), mode(&pair.join("up")), mode(&pair.join("down"))];
            assert_eq!(modes, [0o700, 0o600, 0o600]);
        }
    }
    drop(listening);
    assert!(!directory.exists());
}

#[test]
fn a_directory_open_to_others_is_refused_by_both_sides() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let listening = endpoint(&path).bind().unwrap();
    for open in [0o750, 0o701, 0o711, 0o777, 0o1777] {
        fs::set_permissions(scratch.path(), Permissions::from_mode(open)).unwrap();
        let text = format!("has mode {open:04o}");
        assert_refused(&connect_error(&path), &text);
        assert_refused(&bind_error(&path), &text);
    }
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o700)).unwrap();
    drop(listening);
}

#[test]
fn others_cannot_be_allowed() {
    let scratch = Scratch::new();
    let mut settings = Settings::default();
    settings.allow_uids = vec![SOMEBODY_ELSE];
    let endpoint = endpoint(&scratch.path().join("a")).with_settings(settings);
    let error = endpoint.bind().map(drop).unwrap_err();
    assert_kind!(error, ErrorKind::InvalidEndpoint { .. });
    assert!(error.to_string().contains("use unix:"), "{error}");
}

#[test]
fn what_is_no_private_fifo_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");

    fs::write(&path, "precious").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_refused(&bind_error(&path), "a foreign file");
    assert_refused(&connect_error(&path), "is not a FIFO");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    assert_refused(&bind_error(&path), "a foreign file");
    assert_refused(&connect_error(&path), "is not a FIFO");
    fs::remove_dir(&path).unwrap();

    // A link, also to a server that lives.
    let elsewhere = scratch.path().join("b");
    let listening = endpoint(&elsewhere).bind().unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert_refused(&bind_error(&path), "a foreign file");
    assert_refused(&connect_error(&path), "is not a FIFO");
    fs::remove_file(&path).unwrap();
    drop(listening);

    make_fifo(&path);
    let reader = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o622)).unwrap();
    assert_refused(&connect_error(&path), "has mode 0622");
    drop(reader);
    drop(endpoint(&path).bind().unwrap());
}

#[test]
fn a_fifo_of_somebody_else_is_refused() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    make_fifo(&path);
    let reader = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&path).unwrap();
    chown(&path, Some(SOMEBODY_ELSE), None).unwrap();
    for _ in 0..2 {
        assert_refused(&bind_error(&path), "belongs to uid 65534");
        assert_refused(&connect_error(&path), "belongs to uid 65534");
    }
    drop(reader);
    assert_refused(&bind_error(&path), "belongs to uid 65534");
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_rendezvous_put_in_place_of_ours_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let listening = endpoint(&path).bind().unwrap();
    fs::remove_file(&path).unwrap();
    let other = endpoint(&path).bind().unwrap();
    let client = endpoint(&path).try_connect().unwrap();
    drop(listening);
    assert!(path.exists(), "the other's");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2, "and its client's pair");
    drop((client, other));
}

#[test]
fn without_server_the_client_is_told_what_is_missing() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let absent = |path: &Path, text| {
        let error = connect_error(path);
        assert_kind!(error, ErrorKind::ServerAbsent { .. });
        assert!(error.to_string().contains(text), "{error}");
    };
    absent(&path, "there is no FIFO");
    absent(&scratch.path().join("no").join("a"), "there is no FIFO");
    make_fifo(&path);
    absent(&path, "nobody reads");
    fs::remove_file(&path).unwrap();
}

#[test]
fn somebody_else_gets_nowhere() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let listening = endpoint(&path).bind().unwrap();
    let client = endpoint(&path).try_connect().unwrap();
    let about = path.to_str().unwrap();
    if let Some(stranger) = Process::start_as_somebody_else("stranger", about) {
        assert!(stranger.wait().success(), "see above");
    }
    drop((client, listening));
}

#[test]
fn each_side_knows_the_other_process() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let mut server = Process::start("deaf", path.to_str().unwrap());
    server.wait_for("bound");
    let client = endpoint(&path).try_connect().unwrap();
    assert_eq!(client.peer.pid, Some(server.id()));
    assert_eq!(client.peer.known_by, "owner and lock of its FIFO");
    drop(client);
    drop(server);

    let mut listener = endpoint(&path).bind().unwrap().listener;
    let mut client = Process::start("half-way", path.to_str().unwrap());
    client.wait_for("announced");
    let server = listener.try_accept().unwrap();
    assert_eq!(server.peer.pid, Some(client.id()));
    assert_eq!(server.peer.known_by, "owner and lock of its FIFO");
}

/// As somebody else, at a server that lives: connecting, binding, opening, listing, squatting,
/// linking, removing.
pub(crate) fn try_everything(path: &Path) {
    let directory = path.parent().unwrap();
    assert_refused(&connect_error(path), "keep uid 65534 out");
    bind_error(path);
    let denied = [
        OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path).map(drop),
        OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).map(drop),
        fs::read_dir(directory).map(drop),
        fs::remove_file(path),
        fs::rename(path, directory.join("b")),
        fs::write(directory.join("b"), ""),
        symlink("/dev/null", directory.join("b")),
        fs::create_dir(directory.join(format!("a.{}", "0".repeat(32)))),
    ];
    for result in denied {
        assert_eq!(result.unwrap_err().kind(), PermissionDenied);
    }
}

#[test]
fn a_squatter_is_not_talked_to() {
    let scratch = Scratch::new();
    // Where everybody may make directories.
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o1777)).unwrap();
    let directory = scratch.path().join("squatted");
    let about = directory.to_str().unwrap();
    if let Some(mut squatter) = Process::start_as_somebody_else("squatter", about) {
        squatter.wait_for("squatting");
        for name in ["private", "open"] {
            let path = directory.join(name).join("a");
            assert_refused(&connect_error(&path), "belongs to uid 65534");
            assert_refused(&bind_error(&path), "belongs to uid 65534");
        }
        assert!(squatter.wait().success(), "see above");
        fs::remove_dir_all(&directory).unwrap();
    }
}

/// As somebody else: serves where the other user would, in a directory of its own.
pub(crate) fn squat(directory: &Path) {
    let make = |path: &Path, mode| fs::DirBuilder::new().mode(mode).create(path).unwrap();
    make(directory, 0o755);
    make(&directory.join("private"), 0o700);
    make(&directory.join("open"), 0o700);
    let _private = endpoint(&directory.join("private").join("a")).bind().unwrap();
    let open = endpoint(&directory.join("open").join("a")).bind().unwrap();
    for path in [directory.join("open").join("a"), directory.join("open")] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    println!("squatting");
    until_told();
    drop(open);
}
