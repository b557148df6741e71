#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::*;
use crate::file::testing::Scratch;

/// Asks the test of that name to do itself what it is about.
const ALONE: &str = "IPCALL_TEST_OVERFLOW";

const BYTES: AddWatchFlags = AddWatchFlags::IN_MODIFY;
const ALL: AddWatchFlags = BYTES.union(AddWatchFlags::IN_ATTRIB);

fn file(scratch: &Scratch, name: &str) -> File {
    File::create(scratch.path().join(name)).unwrap()
}

fn watch(file: &File, mask: AddWatchFlags) -> Watch {
    let mut watch = Watch::new().unwrap();
    watch.add(file, mask).unwrap();
    watch
}

fn is_rung(watch: &Watch) -> bool {
    poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
}

fn wait(watch: &Watch) {
    poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
}

#[test]
fn only_what_happens_afterwards_rings() {
    let scratch = Scratch::new();
    let mut file = file(&scratch, "a");
    let watch = watch(&file, ALL);
    for _ in 0..100 {
        file.write_all(b"x").unwrap();
        watch.fall_asleep();
        assert!(!is_rung(&watch));
        file.write_all(b"y").unwrap();
        wait(&watch);
    }
    assert!(!watch.take_news(), "only bytes");
}

#[test]
fn nobody_rings_for_who_is_awake() {
    let scratch = Scratch::new();
    let mut file = file(&scratch, "a");
    let (awake, asleep) = (watch(&file, BYTES), watch(&file, BYTES));
    for _ in 0..10 {
        awake.fall_asleep();
        awake.wake_up();
        asleep.fall_asleep();
        file.write_all(b"x").unwrap();
        wait(&asleep);
        assert!(!is_rung(&awake));
    }
}

#[test]
fn everybody_is_told_what_he_watches_for() {
    let scratch = Scratch::new();
    let mut file = file(&scratch, "a");
    let (bytes, all) = (watch(&file, BYTES), watch(&file, ALL));
    let set_mode = |file: &File| file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    for watch in [&bytes, &all] {
        watch.fall_asleep();
    }
    set_mode(&file);
    wait(&all);
    assert!(all.take_news() && !all.take_news());
    assert!(!is_rung(&bytes) && !bytes.take_news());
    // One that leaves takes only its own part along.
    drop(all);
    file.write_all(b"x").unwrap();
    wait(&bytes);
    bytes.fall_asleep();
    set_mode(&file);
    bytes.fall_asleep();
    assert!(!is_rung(&bytes));
}

/// What is forgotten is not missed: everybody looks. In a process of its own, where everybody is.
#[test]
fn a_queue_that_overflows_is_news_to_everybody() {
    if std::env::var_os(ALONE).is_some() {
        return overflow();
    }
    let name = "file::watcher::tests::a_queue_that_overflows_is_news_to_everybody";
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(ALONE, "1")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

fn overflow() {
    let scratch = Scratch::new();
    let (mut one, mut other) = (file(&scratch, "a"), file(&scratch, "b"));
    let (watch, elsewhere) = (watch(&one, BYTES), watch(&file(&scratch, "c"), BYTES));
    let mut both = Watch::new().unwrap();
    both.add(&one, BYTES).unwrap();
    both.add(&other, BYTES).unwrap();
    elsewhere.fall_asleep();
    {
        // So that nobody reads it meanwhile.
        let _watched = watch.watcher.shared.lock();
        // Events that are alike are one if they follow each other.
        for _ in 0..10_000 {
            one.write_all(b"x").unwrap();
            other.write_all(b"x").unwrap();
        }
    }
    wait(&elsewhere);
    assert!(elsewhere.take_news());
}
