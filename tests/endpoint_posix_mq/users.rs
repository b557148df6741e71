//! What other users can do: nothing.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use ipcall::transport::{Binder, Connector};
use ipcall::{Endpoint, ErrorKind};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, mq_close, mq_open, mq_send, mq_unlink};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

use crate::dead::{names_in, open};
use crate::support::assert_kind;
use crate::support::role::{Control, Process};
use crate::support::scratch::Scratch;
use crate::{assert_works, become_nobody, begin, connect, endpoint};

/// As somebody else: tries all that one can with the names in `about`.
pub(crate) fn meddle(about: &str, mut control: Control) {
    become_nobody();
    let mut words = about.split(' ');
    let at = Endpoint::parse(words.next().unwrap()).unwrap();
    let names: Vec<_> = words.collect();
    for _closed_and_open_directory in 0..2 {
        assert_kind!(at.try_connect().unwrap_err(), ErrorKind::Refused { .. });
        // Of a closed directory it cannot even be seen whose it is.
        let error = at.bind().map(drop).unwrap_err();
        assert_kind!(error, ErrorKind::Refused { .. } | ErrorKind::Io { .. });
        for name in &names {
            for flag in [MQ_OFlag::O_RDONLY, MQ_OFlag::O_WRONLY, MQ_OFlag::O_RDWR] {
                assert_eq!(open(name, flag), Err(Errno::EACCES), "{name}");
            }
            let unlinked = mq_unlink(*name);
            assert!(matches!(unlinked, Err(Errno::EACCES | Errno::EPERM)), "{unlinked:?}");
        }
        control.say("tried");
        control.hear();
    }
}

#[test]
fn another_user_can_neither_connect_nor_open_nor_unlink() {
    let _held = begin("stranger");
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    let at = endpoint(&scratch.path().join("queue"));
    let mut listener = at.bind().unwrap().listener;
    let client = at.try_connect().unwrap();
    let names = names_in(&scratch.path().join("queue"));
    assert_eq!(names.len(), 3);
    let mut stranger = Process::start("stranger", &format!("{} {}", at.uri(), names.join(" ")));
    assert_eq!(stranger.hear(), "tried");
    // Even if somebody opens the directory by hand.
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o711)).unwrap();
    stranger.say("again");
    assert_eq!(stranger.hear(), "tried");
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o700)).unwrap();
    stranger.say("end");
    assert!(stranger.wait().success(), "see above");
    assert_works(&mut [listener.try_accept().unwrap(), client]);
}

/// As somebody else: has the queues called in `about`, and an endpoint.
pub(crate) fn squat(about: &str, mut control: Control) {
    become_nobody();
    umask(Mode::empty());
    let names: Vec<_> = about.split(' ').collect();
    let attributes = MqAttr::new(0, 1, 24, 0);
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR | MQ_OFlag::O_CLOEXEC;
    let everybody = Mode::from_bits_truncate(0o666);
    for name in &names {
        mq_open(*name, flags, everybody, Some(&attributes)).unwrap();
    }
    let scratch = Scratch::new();
    let at = endpoint(&scratch.path().join("queue"));
    let listener = at.bind().unwrap().listener;
    control.say(at.uri());
    control.hear();
    drop(listener);
    for name in &names {
        // It is still there.
        mq_unlink(*name).unwrap();
    }
}

/// A key file as a killed server has left it, that names the queues of somebody else.
fn write_key(path: &Path, nonce: &str, id: u64) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    let line = format!("ipcall posix-mq 1 {nonce} 1 0");
    let mut bytes = format!("{line:<127}\n").into_bytes();
    bytes.resize(128 + 256 * 8, 0);
    bytes[128 + 8 * 8..][..8].copy_from_slice(&id.to_le_bytes());
    file.write_all(&bytes).unwrap();
}

#[test]
fn queues_of_another_user_are_neither_used_nor_removed() {
    let _held = begin("squatter");
    if !geteuid().is_root() {
        return;
    }
    let nonce = format!("{:032x}", std::process::id());
    let id = u64::from(std::process::id());
    let names = [
        format!("/ipcall-{nonce}"),
        format!("/ipcall-{id:016x}-up"),
        format!("/ipcall-{id:016x}-down"),
    ];
    let mut squatter = Process::start("squatter", &names.join(" "));
    let theirs = Endpoint::parse(&squatter.hear()).unwrap();

    // Root could open everything, and does not.
    let error = theirs.try_connect().unwrap_err();
    let told = |reason: &str| reason.contains("belongs to uid 65534");
    assert_kind!(error, ErrorKind::Refused { reason } if told(reason));
    assert_kind!(theirs.bind().map(drop).unwrap_err(), ErrorKind::Refused { .. });

    let scratch = Scratch::new();
    let key = scratch.path().join("queue");
    write_key(&key, &nonce, id);
    let at = endpoint(&key);
    let mut listener = at.bind().unwrap().listener;
    assert_works(&mut connect(&mut *listener, &at));
    // A living server's key file that leads to somebody else.
    let header = fs::read(&key).unwrap();
    let file = OpenOptions::new().write(true).open(&key).unwrap();
    let line = format!("ipcall posix-mq 1 {nonce} {} 0", std::process::id());
    file.write_all_at(format!("{line:<127}\n").as_bytes(), 0).unwrap();
    let error = at.try_connect().unwrap_err();
    let told = |reason: &str| reason.contains("belongs to somebody else");
    assert_kind!(error, ErrorKind::Refused { reason } if told(reason));
    file.write_all_at(&header[..128], 0).unwrap();
    // An announcement of queues that are somebody else's.
    announce(&header, id);
    assert_works(&mut connect(&mut *listener, &at));
    squatter.say("end");
    assert!(squatter.wait().success(), "see above");
}

/// Announces the queues `id` to the server whose key file begins with `header`.
fn announce(header: &[u8], id: u64) {
    let nonce = std::str::from_utf8(&header[..128]).unwrap().split(' ').nth(3).unwrap();
    let flags = MQ_OFlag::O_WRONLY | MQ_OFlag::O_CLOEXEC;
    let queue = mq_open(&*format!("/ipcall-{nonce}"), flags, Mode::empty(), None).unwrap();
    let nonce = u128::from_str_radix(nonce, 16).unwrap();
    let message = [&nonce.to_le_bytes()[..], &id.to_le_bytes()].concat();
    mq_send(&queue, &message, 0).unwrap();
    mq_close(queue).unwrap();
}
