#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ipcall_core::Settings;
use ipcall_core::transport::{Listener as _, ReadHalf, WriteHalf};
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::announcement::RENDEZVOUS;
use super::claim::{Names, PRIVATE};
use super::queue::Shape;
use super::*;

mod stream;

/// A private directory for one test, and its turn: all tests of a user share one quota of queues.
struct Scratch(PathBuf, #[expect(dead_code, reason = "dropping it is its use")] Flock<File>);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipcall-posix-mq-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let turn = Flock::lock(File::open(std::env::temp_dir()).unwrap(), FlockArg::LockExclusive);
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path, turn.map_err(|(_, errno)| errno).unwrap())
    }

    fn place(&self) -> Place {
        let name = std::ffi::OsString::from("queue");
        Place { path: self.0.join(&name), directory: self.0.clone(), name }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn bind(place: &Place) -> Listener {
    Listener::bind(place, &Settings::default()).unwrap()
}

fn header(place: &Place) -> Header {
    KeyFile::open(&place.path).unwrap().unwrap().header().unwrap().unwrap()
}

fn is_readable(fd: impl AsFd) -> bool {
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
}

fn is_would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn has(name: &str) -> bool {
    Queue::open(name, End::Reading).err() != Some(Errno::ENOENT)
}

fn write(writer: &mut dyn WriteHalf, bytes: &[u8]) -> io::Result<usize> {
    writer.try_write(&[IoSlice::new(bytes)])
}

fn read(reader: &mut dyn ReadHalf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64 << 10);
    reader.try_read(&mut bytes, 64 << 10)?;
    Ok(bytes)
}

/// Two connected ends: the server's and the client's.
fn pair(place: &Place) -> (Transport, Transport) {
    let mut listener = bind(place);
    let client = connect(place).unwrap();
    (listener.try_accept().unwrap(), client)
}

#[test]
fn sixteen_clients_fit_into_the_default_quota() {
    const DEFAULT: usize = 819_200;
    assert_eq!(PRIVATE.cost(), 16_576);
    assert_eq!(RENDEZVOUS.cost(), 1_200);
    let clients = (DEFAULT - RENDEZVOUS.cost()) / (2 * PRIVATE.cost());
    assert_eq!(clients, 24, "at least 16");
}

#[test]
fn both_sides_know_each_other() {
    let scratch = Scratch::new();
    let (server, client) = pair(&scratch.place());
    for peer in [server.peer, client.peer] {
        assert_eq!(peer.pid, Some(std::process::id()));
        assert_eq!(peer.uid, Some(nix::unistd::geteuid().as_raw()));
        assert_eq!(peer.gid, Some(nix::unistd::getegid().as_raw()));
    }
}

#[test]
fn names_go_as_soon_as_both_sides_are_in() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let client = connect(&place).unwrap();
    let key = KeyFile::open(&place.path).unwrap().unwrap();
    let ids = key.ids().unwrap();
    assert_eq!(ids.len(), 1);
    let names = Names::of(ids[0]);
    // Not the other one: looking at it would take this process's signature away.
    assert!(has(&names.down));
    let server = listener.try_accept().unwrap();
    assert!(!has(&names.up) && !has(&names.down));
    drop((client, server));

    let name = rendezvous(header(&place).nonce);
    assert!(has(&name));
    drop(listener);
    assert!(!has(&name) && !place.path.exists());
}

#[test]
fn nothing_can_be_written_before_a_server_accepts() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let mut client = connect(&place).unwrap();
    for bytes in [&b"x"[..], b""] {
        assert!(is_would_block(&write(&mut *client.writer, bytes)));
    }
    assert!(client.writer.arm() && !is_readable(&client.writer));
    let mut server = listener.try_accept().unwrap();
    assert!(is_readable(&client.writer));
    write(&mut *client.writer, b"hello").unwrap();
    assert_eq!(read(&mut *server.reader).unwrap(), b"hello");
    assert!(is_would_block(&read(&mut *server.reader)));
}

#[test]
fn a_client_that_goes_before_it_is_accepted_leaves_nothing() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    drop(connect(&place).unwrap());
    let id = KeyFile::open(&place.path).unwrap().unwrap().id(0).unwrap();
    assert!(!has(&Names::of(id).up) && !has(&Names::of(id).down));
    assert!(is_would_block(&listener.try_accept()));
    assert_eq!(listener.dropped(), 1);
    assert!(!is_readable(&listener));
}

#[test]
fn a_client_with_one_half_left_is_accepted() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let Transport { reader, writer, .. } = connect(&place).unwrap();
    drop(writer);
    let mut server = listener.try_accept().unwrap();
    // As one does who arms before the first read.
    assert!(!server.reader.arm());
    assert_eq!(read(&mut *server.reader).unwrap(), b"");
    drop(reader);

    let Transport { reader, mut writer, .. } = connect(&place).unwrap();
    drop(reader);
    let mut server = listener.try_accept().unwrap();
    write(&mut *writer, b"hello").unwrap();
    assert_eq!(read(&mut *server.reader).unwrap(), b"hello");
    let error = std::iter::repeat_with(|| write(&mut *server.writer, b"x")).find_map(Result::err);
    assert_eq!(error.unwrap().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn messages_of_another_start_are_dropped_and_counted() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let nonce = header(&place).nonce;
    let queue = Queue::open(&rendezvous(nonce), End::Writing).unwrap();
    let stale = Announcement { nonce: nonce ^ 1, id: 7 };
    let unknown = Announcement { nonce, id: 7 };
    for message in [&stale.to_bytes()[..], b"", b"nonsense", &unknown.to_bytes()] {
        queue.send(message).unwrap();
    }
    let _client = connect(&place).unwrap();
    drop(listener.try_accept().unwrap());
    assert_eq!(listener.dropped(), 4);
    assert!(is_would_block(&listener.try_accept()));
    assert!(!is_readable(&listener));
}

#[test]
fn a_full_rendezvous_keeps_nobody_out() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let queue = Queue::open(&rendezvous(header(&place).nonce), End::Writing).unwrap();
    while queue.send(b"x").is_ok() {}
    let _clients = [connect(&place).unwrap(), connect(&place).unwrap()];
    // Readable for as long as there is one, because a server may wait before each.
    for _ in 0..2 {
        assert!(is_readable(&listener));
        drop(listener.try_accept().unwrap());
    }
    // The server is told that it is being kept busy.
    let error = listener.try_accept().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
    assert!(is_would_block(&listener.try_accept()));
    assert!(!is_readable(&listener));
    assert_eq!(listener.dropped(), u64::try_from(RENDEZVOUS.messages).unwrap());
}

#[test]
fn an_announcement_said_twice_counts_once() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let mut client = connect(&place).unwrap();
    let nonce = header(&place).nonce;
    let id = KeyFile::open(&place.path).unwrap().unwrap().id(0).unwrap();
    let queue = Queue::open(&rendezvous(nonce), End::Writing).unwrap();
    queue.send(&Announcement { nonce, id }.to_bytes()).unwrap();
    let mut server = listener.try_accept().unwrap();
    assert!(is_would_block(&listener.try_accept()));
    write(&mut *client.writer, b"hello").unwrap();
    assert_eq!(read(&mut *server.reader).unwrap(), b"hello");
}

/// What a client leaves that was killed: queues without a signature.
fn leave_queues(id: u64) -> Names {
    let names = Names::of(id);
    drop(Queue::create(&names.up, End::Writing, PRIVATE).unwrap());
    drop(Queue::create(&names.down, End::Reading, PRIVATE).unwrap());
    names
}

#[test]
fn a_client_that_was_killed_after_its_announcement_is_cleaned_up() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let (nonce, id) = (header(&place).nonce, claim::random());
    let names = leave_queues(id);
    let queue = Queue::open(&rendezvous(nonce), End::Writing).unwrap();
    queue.send(&Announcement { nonce, id }.to_bytes()).unwrap();
    assert!(is_would_block(&listener.try_accept()));
    assert!(!has(&names.up) && !has(&names.down));
}

#[test]
fn a_client_that_was_killed_before_its_announcement_is_cleaned_up() {
    let scratch = Scratch::new();
    let place = scratch.place();
    // By the next client of its slot.
    let listener = bind(&place);
    let id = claim::random();
    KeyFile::open(&place.path).unwrap().unwrap().write_id(0, id).unwrap();
    let names = leave_queues(id);
    let client = connect(&place).unwrap();
    assert!(!has(&names.up) && !has(&names.down));
    drop((client, listener));

    // By the next server.
    let id = claim::random();
    let key = KeyFile::create(&place.path).unwrap();
    let (nonce, pid) = (u128::from(claim::random()), std::process::id());
    key.write_header(&Header { nonce, pid, pid_namespace: 0 }).unwrap();
    key.write_id(200, id).unwrap();
    drop(Queue::create(&rendezvous(nonce), End::Reading, RENDEZVOUS).unwrap());
    let names = leave_queues(id);
    drop(bind(&place));
    assert!(!has(&names.up) && !has(&names.down) && !has(&rendezvous(nonce)));
    assert!(!place.path.exists());
}

#[test]
fn half_a_pair_of_a_client_that_was_killed_goes_with_the_server() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let listener = bind(&place);
    let id = claim::random();
    KeyFile::open(&place.path).unwrap().unwrap().write_id(9, id).unwrap();
    let names = Names::of(id);
    drop(Queue::create(&names.up, End::Writing, PRIVATE).unwrap());
    drop(listener);
    assert!(!has(&names.up));
}

#[test]
fn a_server_killed_in_its_first_moment_is_taken_over() {
    let scratch = Scratch::new();
    let place = scratch.place();
    drop(KeyFile::create(&place.path).unwrap());
    let error = connect(&place).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    drop(bind(&place));
    assert!(!place.path.exists());
}

#[test]
fn only_the_process_that_holds_the_lock_is_believed() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let key = KeyFile::open(&place.path).unwrap().unwrap();
    let true_one = header(&place);
    // Beyond what a process can be called: there is none.
    key.write_header(&Header { pid: 1 << 30, ..true_one }).unwrap();
    let error = connect(&place).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");

    key.write_header(&Header { pid_namespace: 1, ..true_one }).unwrap();
    let error = connect(&place).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("another pid namespace"), "{error}");

    key.write_header(&Header { nonce: 1, ..true_one }).unwrap();
    let error = connect(&place).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    key.write_header(&true_one).unwrap();
    drop(connect(&place).unwrap());
    assert!(is_would_block(&listener.try_accept()));
}

#[test]
fn somebody_elses_files_are_refused_and_left_alone() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let assert_refused = |hint: &str| {
        for error in [
            connect(&place).unwrap_err(),
            Listener::bind(&place, &Settings::default()).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
            assert!(error.to_string().contains(hint), "{error}");
        }
    };
    for content in ["precious", "", "ipcall posix-mq 2 0 0 0", &"x".repeat(5000)] {
        fs::write(&place.path, content).unwrap();
        fs::set_permissions(&place.path, Permissions::from_mode(0o644)).unwrap();
        assert_refused("a foreign file");
        assert_eq!(fs::read_to_string(&place.path).unwrap(), content);
    }
    fs::remove_file(&place.path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &place.path).unwrap();
    assert_refused("a foreign file");
    fs::remove_file(&place.path).unwrap();
    fs::create_dir(&place.path).unwrap();
    assert_refused("a foreign file");
    fs::remove_dir(&place.path).unwrap();
    nix::unistd::mkfifo(&place.path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_refused("a foreign file");
    fs::remove_file(&place.path).unwrap();

    let key = KeyFile::create(&place.path).unwrap();
    key.write_header(&Header { nonce: 1, pid: 1, pid_namespace: 0 }).unwrap();
    fs::set_permissions(&place.path, Permissions::from_mode(0o640)).unwrap();
    assert_refused("run chmod 600");
}

#[test]
fn other_users_are_not_admitted() {
    let scratch = Scratch::new();
    let mut settings = Settings::default();
    settings.allow_uids = vec![1000];
    let error = Listener::bind(&scratch.place(), &settings).map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("choose unix:"), "{error}");
}

#[test]
fn a_file_put_in_the_place_of_the_key_file_stays() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let listener = bind(&place);
    fs::remove_file(&place.path).unwrap();
    fs::write(&place.path, "precious").unwrap();
    drop(listener);
    assert_eq!(fs::read(&place.path).unwrap(), b"precious");
}

#[test]
fn a_queue_too_large_for_this_machine_becomes_smaller() {
    let name = &*format!("/ipcall-test-{:016x}", claim::random());
    let wanted = Shape { messages: 1 << 20, size: 16 };
    let made = Queue::create(name, End::Writing, wanted);
    let _ = nix::mqueue::mq_unlink(name);
    let messages = made.unwrap().shape().unwrap().messages;
    assert!((1..1 << 20).contains(&messages), "{messages}");
}
