//! What a server and its clients make of what they find where its key file should be.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::super::queues::Keys;
use super::*;

fn assert_refused(result: Result<impl Sized, RpcError>, text: &str) {
    let error = result.map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(text), "{error} has no {text:?}");
}

#[test]
fn what_is_no_key_file_is_refused_and_stays() {
    let place = Place::new();
    let elsewhere: PathBuf = place.address.directory.join("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    symlink(&elsewhere, place.path()).unwrap();
    assert_refused(place.bind(), "symbolic link");
    assert_refused(place.connect(), "symbolic link");
    fs::remove_file(place.path()).unwrap();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");

    fs::rename(&elsewhere, place.path()).unwrap();
    assert_refused(place.bind(), "foreign file");
    assert_refused(place.connect(), "foreign file");
    fs::set_permissions(place.path(), Permissions::from_mode(0o660)).unwrap();
    assert_refused(place.bind(), "mode 0660");
    fs::remove_file(place.path()).unwrap();

    fs::create_dir(place.path()).unwrap();
    assert_refused(place.bind(), "foreign file");
    fs::remove_dir(place.path()).unwrap();
    nix::unistd::mkfifo(place.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_refused(place.bind(), "foreign file");
    fs::remove_file(place.path()).unwrap();
}

#[test]
fn a_key_file_of_a_server_that_was_killed_before_it_could_write_it_is_taken_over() {
    let place = Place::new();
    drop(KeyFile::create(place.path()).unwrap());
    let error = place.connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    drop(place.bind().unwrap());
}

#[test]
fn a_lock_that_a_dead_servers_child_has_kept_is_no_living_server() {
    let place = Place::new();
    let file = KeyFile::create(place.path()).unwrap();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let record = Record { pid: child.id(), ..Record::of_this_process(1, Keys::new(1).first()) };
    child.wait().unwrap();
    file.write(TITLE, &record).unwrap();
    let error = place.connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    drop(place.bind().unwrap());
    // While it lives, it is.
    let file = KeyFile::create(place.path()).unwrap();
    file.write(TITLE, &Record::of_this_process(1, Keys::new(1).first())).unwrap();
    let error = place.bind().map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::AddressInUse { .. }), "{error:?}");
    let error = place.connect().unwrap_err();
    assert!(error.to_string().contains("has no queues now"), "{error}");
    fs::remove_file(place.path()).unwrap();
}

#[test]
fn a_server_of_another_namespace_is_named_as_such() {
    let place = Place::new();
    let file = KeyFile::create(place.path()).unwrap();
    let here = Record::of_this_process(1, Keys::new(1).first());
    file.write(TITLE, &Record { ipc_namespace: here.ipc_namespace + 1, ..here }).unwrap();
    let error = place.connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidEndpoint { .. }), "{error:?}");
    assert!(error.to_string().contains("namespace"), "{error}");
    // Whether it lives is known all the same.
    let error = place.bind().map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::AddressInUse { .. }), "{error:?}");
    drop(file);
    drop(place.bind().unwrap());
}
