#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::*;

fn pipe() -> (OwnedFd, File) {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
    (reading, writing.into())
}

/// All that is found in `bytes`, which come as these pieces.
fn found(pieces: &[&[u8]]) -> Vec<Announcement> {
    let (reading, mut writing) = pipe();
    let mut inbox = Inbox::default();
    let mut found = Vec::new();
    for piece in pieces {
        writing.write_all(piece).unwrap();
        loop {
            match inbox.read(&reading) {
                Ok(announcement) => found.extend(announcement),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        assert!(inbox.0.len() < LENGTH);
    }
    found
}

#[test]
fn a_record_is_found_as_it_was_sent() {
    let announcement = Announcement::new();
    let (reading, writing) = pipe();
    announcement.send(&writing).unwrap();
    assert_eq!(Inbox::default().read(&reading).unwrap(), Some(announcement));
    let digits = announcement.digits();
    assert!(digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
}

#[test]
fn no_two_names_are_the_same() {
    let mut names: Vec<_> = (0..1000).map(|_| Announcement::new().random).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 1000);
}

#[test]
fn one_read_takes_one_record_and_leaves_the_next_in_the_pipe() {
    let (reading, writing) = pipe();
    let sent = [Announcement::new(), Announcement::new()];
    sent.iter().for_each(|announcement| announcement.send(&writing).unwrap());
    let mut inbox = Inbox::default();
    for announcement in sent {
        assert!(inbox.0.is_empty());
        assert_eq!(inbox.read(&reading).unwrap(), Some(announcement));
    }
}

#[test]
fn no_garbage_costs_a_record() {
    let first = Announcement::new();
    let second = Announcement::new();
    let (one, two) = (first.to_bytes(), second.to_bytes());
    let mut wrong_version = one;
    wrong_version[7] = 2;
    let mut garbage: Vec<Vec<u8>> = vec![
        b"hello\n".to_vec(),
        MAGIC.repeat(9),
        vec![0; 1000],
        vec![255; 31],
        wrong_version.to_vec(),
        b"iiiipcfif".to_vec(),
    ];
    // Records that were not written to their end, and ends of such.
    garbage.extend((1..LENGTH).map(|length| one[..length].to_vec()));
    garbage.extend((1..LENGTH).map(|length| one[length..].to_vec()));
    for garbage in &garbage {
        assert_eq!(found(&[garbage]), []);
        assert_eq!(found(&[garbage, &two, &one]), [second, first], "{garbage:?}");
        assert_eq!(found(&[&two, garbage, &one, &two]), [second, first, second], "{garbage:?}");
        let together = [&one[..], garbage, &two].concat();
        assert_eq!(found(&[&together]), [first, second], "{garbage:?}");
    }
}

#[test]
fn a_rendezvous_that_is_full_or_unread_is_told_from_one_that_is_read() {
    let (reading, writing) = pipe();
    let full = loop {
        if let Err(error) = Announcement::new().send(&writing) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    drop(reading);
    let unread = Announcement::new().send(&writing).unwrap_err();
    assert_eq!(unread.kind(), io::ErrorKind::BrokenPipe);
}
