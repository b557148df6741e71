//! Directories and files are the own user's, or are not used.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind::PermissionDenied;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use ipcall::transport::{Binder, Connector};
use ipcall::{ErrorKind, RpcError, Settings};
use nix::unistd::{Gid, Uid, setgid, setuid};

use crate::support::assert_kind;
use crate::support::role::{Control, Process};
use crate::support::scratch::Scratch;
use crate::{endpoint, not_tested};

/// Who has nothing to do with root.
const SOMEBODY_ELSE: u32 = 65_534;

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

/// Whether this process may become somebody else, or give files away.
fn is_root() -> bool {
    let is_root = Uid::effective().is_root();
    if !is_root {
        not_tested("this user cannot be somebody else");
    }
    is_root
}

#[test]
fn what_is_made_is_private_and_removed_with_its_server() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("new");
    let place = directory.join("a");
    let listening = endpoint(&place).bind().unwrap();
    assert_eq!((mode(&directory), mode(&place)), (0o700, 0o700));
    let client = endpoint(&place).try_connect().unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(&place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_eq!(mode(&path), 0o700);
            for file in fs::read_dir(&path).unwrap() {
                assert_eq!(mode(&file.unwrap().path()), 0o600);
                seen += 1;
            }
        } else {
            assert_eq!(mode(&path), 0o600);
        }
    }
    assert_eq!(seen, 4);
    drop((client, listening));
    assert!(!directory.exists());
}

#[test]
fn a_directory_open_to_others_is_refused_by_both_sides() {
    let scratch = Scratch::new();
    let place = scratch.path().join("a");
    let listening = endpoint(&place).bind().unwrap();
    for path in [scratch.path(), &place] {
        for open in [0o750, 0o701, 0o777] {
            fs::set_permissions(path, Permissions::from_mode(open)).unwrap();
            let text = format!("has mode {open:04o}");
            assert_refused(&connect_error(&place), &text);
            assert_refused(&bind_error(&place), &text);
        }
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    }
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
fn somebody_else_gets_nowhere() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let place = scratch.path().join("a");
    let listening = endpoint(&place).bind().unwrap();
    let client = endpoint(&place).try_connect().unwrap();
    let stranger = Process::start("stranger", place.to_str().unwrap());
    assert!(stranger.wait().success(), "see above");
    drop((client, listening));
}

fn become_somebody_else() {
    setgid(Gid::from_raw(SOMEBODY_ELSE)).unwrap();
    setuid(Uid::from_raw(SOMEBODY_ELSE)).unwrap();
}

/// As somebody else, at a server that lives: connecting, binding, listing, squatting, linking, removing.
pub(crate) fn try_everything(place: &Path) {
    become_somebody_else();
    let directory = place.parent().unwrap();
    assert_refused(&connect_error(place), "keep uid 65534 out");
    bind_error(place);
    let denied = [
        fs::read_dir(directory).map(drop),
        fs::read_dir(place).map(drop),
        fs::read(place.join("server.0")).map(drop),
        fs::write(place.join("server.0"), ""),
        fs::remove_file(place.join("server.0")),
        fs::rename(place, directory.join("b")),
        symlink("/dev/null", directory.join("b")),
        fs::create_dir(place.join(format!("client.{}", "0".repeat(32)))),
    ];
    for result in denied {
        assert_eq!(result.unwrap_err().kind(), PermissionDenied);
    }
}

#[test]
fn a_squatter_is_not_talked_to() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    // Where everybody may make directories.
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o1777)).unwrap();
    let directory = scratch.path().join("squatted");
    let mut squatter = Process::start("squatter", directory.to_str().unwrap());
    assert_eq!(squatter.hear(), "squatting");
    let place = directory.join("a");
    assert_refused(&connect_error(&place), "belongs to uid 65534");
    assert_refused(&bind_error(&place), "belongs to uid 65534");
    squatter.say("end");
    assert!(squatter.wait().success(), "see above");
}

/// As somebody else: serves where the other user would.
pub(crate) fn squat(directory: &Path, mut control: Control) {
    become_somebody_else();
    let listening = endpoint(&directory.join("a")).bind().unwrap();
    control.say("squatting");
    control.hear();
    drop(listening);
}

#[test]
fn a_place_given_to_somebody_else_is_refused() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let place = scratch.path().join("a");
    DirBuilder::new().mode(0o700).create(&place).unwrap();
    std::os::unix::fs::chown(&place, Some(SOMEBODY_ELSE), None).unwrap();
    assert_refused(&connect_error(&place), "belongs to uid 65534");
    assert_refused(&bind_error(&place), "belongs to uid 65534");
    fs::remove_dir(&place).unwrap();
}
