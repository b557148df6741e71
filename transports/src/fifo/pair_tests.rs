#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;
use crate::directory::Access;
use crate::fifo::tests::Scratch;

fn directory(scratch: &Scratch) -> Directory {
    Directory::open(scratch.path(), Access::OwnUser).unwrap().unwrap()
}

fn made(scratch: &Scratch) -> Made {
    Made::new(directory(scratch), OsStr::new("name")).unwrap()
}

fn open_it(scratch: &Scratch, made: &Made) -> Result<Opened, NotOpened> {
    open_announced(&directory(scratch), OsStr::new("name"), &made.announcement())
}

fn place(scratch: &Scratch, made: &Made) -> PathBuf {
    scratch.path().join(&made.names.subdirectory)
}

#[test]
fn a_pair_is_opened_once() {
    let scratch = Scratch::new();
    let made = made(&scratch);
    assert!(open_it(&scratch, &made).is_ok());
    assert_eq!(open_it(&scratch, &made).err(), Some(NotOpened::NoPair));
    assert_eq!(scratch.entries(), 0);
}

#[test]
fn the_pair_of_a_client_that_has_died_is_removed() {
    let scratch = Scratch::new();
    let Made { announcement, names, .. } = made(&scratch);
    // The descriptors are closed, and the names are there.
    std::mem::forget(names);
    assert_eq!(scratch.entries(), 1);
    let opened = open_announced(&directory(&scratch), OsStr::new("name"), &announcement);
    assert_eq!(opened.err(), Some(NotOpened::Gone));
    assert_eq!(scratch.entries(), 0);
}

#[test]
fn nothing_but_two_private_fifos_is_a_pair() {
    let scratch = Scratch::new();
    let spoil: [fn(PathBuf); 6] = [
        |pair| fs::set_permissions(pair, Permissions::from_mode(0o711)).unwrap(),
        |pair| fs::set_permissions(pair.join(UP), Permissions::from_mode(0o644)).unwrap(),
        |pair| fs::set_permissions(pair.join(DOWN), Permissions::from_mode(0o622)).unwrap(),
        |pair| fs::remove_file(pair.join(DOWN)).unwrap(),
        |pair| {
            fs::remove_file(pair.join(UP)).unwrap();
            fs::write(pair.join(UP), "precious").unwrap();
        },
        |pair| {
            fs::rename(pair.join(DOWN), pair.join("elsewhere")).unwrap();
            symlink("elsewhere", pair.join(DOWN)).unwrap();
        },
    ];
    for spoil in spoil {
        let made = made(&scratch);
        let place = place(&scratch, &made);
        spoil(place.clone());
        assert_eq!(open_it(&scratch, &made).err(), Some(NotOpened::NoPair));
        drop(made);
        // What is no FIFO stays, and the sub-directory with it.
        if place.exists() {
            assert!(place.join(UP).is_file() || place.join("elsewhere").exists());
            fs::remove_dir_all(place).unwrap();
        }
    }
}

#[test]
fn a_pair_reached_through_a_link_is_none() {
    let scratch = Scratch::new();
    let made = made(&scratch);
    let place = place(&scratch, &made);
    let moved = scratch.path().join("elsewhere");
    fs::rename(&place, &moved).unwrap();
    symlink(&moved, &place).unwrap();
    assert_eq!(open_it(&scratch, &made).err(), Some(NotOpened::NoPair));
    drop(made);
    fs::remove_file(place).unwrap();
    fs::remove_dir_all(moved).unwrap();
}

#[test]
fn only_pairs_of_the_same_rendezvous_are_swept() {
    let scratch = Scratch::new();
    let made = made(&scratch);
    let other = Made::new(directory(&scratch), OsStr::new("name.other")).unwrap();
    let digits = "0".repeat(32);
    let precious = [format!("name.{digits}"), format!("name.{digits}0"), "name.x".to_owned()];
    fs::write(scratch.path().join(&precious[0]), "").unwrap();
    fs::create_dir(scratch.path().join(&precious[1])).unwrap();
    fs::create_dir(scratch.path().join(&precious[2])).unwrap();
    sweep(&directory(&scratch), OsStr::new("name")).unwrap();
    assert_eq!(open_it(&scratch, &made).err(), Some(NotOpened::NoPair));
    let opened =
        open_announced(&directory(&scratch), OsStr::new("name.other"), &other.announcement());
    assert!(opened.is_ok());
    assert_eq!(scratch.entries(), 3);
    for precious in precious {
        let path = scratch.path().join(precious);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
}
