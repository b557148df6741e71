#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt, symlink};

use ipcall_core::Settings;
use ipcall_core::transport::Listener as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::spool::SEGMENT;
use super::testing::Scratch;
use super::*;

const WINDOW: usize = 2 * SEGMENT as usize;

/// A directory with a place in it.
struct Site(Scratch);

impl Site {
    fn new() -> Self {
        Self(Scratch::new())
    }

    fn place(&self) -> PathBuf {
        self.0.path().join("name")
    }

    fn address(&self) -> Address {
        let directory = self.0.path().to_owned();
        Address { path: self.place(), directory, name: OsString::from("name") }
    }

    fn bind(&self) -> Listener {
        self.try_bind().unwrap()
    }

    fn try_bind(&self) -> Result<Listener, RpcError> {
        Listener::bind(&self.address(), &Settings::default())
    }

    fn connect(&self) -> Transport {
        connect(&self.address()).unwrap()
    }

    /// What lies in the place beside the server's own files.
    fn clients(&self) -> Vec<PathBuf> {
        let paths = fs::read_dir(self.place()).unwrap().map(|entry| entry.unwrap().path());
        let is_server = |path: &PathBuf| path.ends_with("server.0") || path.ends_with("server.1");
        let mut paths: Vec<_> = paths.filter(|path| !is_server(path)).collect();
        paths.sort();
        paths
    }

    /// A connection, and the segments to which the client writes.
    fn connected(&self) -> (Transport, Transport, [File; 2]) {
        let mut listener = self.bind();
        let client = self.connect();
        let segments = ["up.0", "up.1"].map(|name| {
            let path = self.clients()[0].join(name);
            OpenOptions::new().read(true).write(true).open(path).unwrap()
        });
        (listener.try_accept().unwrap(), client, segments)
    }
}

fn is_quiet(fd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 0
}

fn wait(fd: BorrowedFd<'_>) {
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
}

fn read(end: &mut Transport) -> io::Result<usize> {
    end.reader.try_read(&mut Vec::with_capacity(16), 16)
}

fn write(end: &mut Transport) -> io::Result<usize> {
    end.writer.try_write(&[IoSlice::new(b"hello")])
}

fn kind(result: io::Result<usize>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

/// What is tried until it is something else than `WouldBlock`, with sleeps in between.
fn read_at_last(end: &mut Transport) -> io::Result<usize> {
    loop {
        match read(end) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if end.reader.arm() {
                    wait(end.reader.as_fd());
                }
            }
            result => return result,
        }
    }
}

#[test]
fn a_client_not_yet_accepted_waits_quietly() {
    let site = Site::new();
    let mut listener = site.bind();
    let mut client = site.connect();
    for _ in 0..3 {
        assert_eq!(kind(read(&mut client)), io::ErrorKind::WouldBlock);
        assert!(client.reader.arm() && is_quiet(client.reader.as_fd()));
    }
    assert_eq!(site.clients().len(), 1);
    let _server = listener.try_accept().unwrap();
    assert!(site.clients().is_empty(), "the files have no names any more");
    assert!(is_quiet(listener.as_fd()));
    assert_eq!(kind(read(&mut client)), io::ErrorKind::WouldBlock);
    assert!(client.reader.arm() && is_quiet(client.reader.as_fd()));
}

#[test]
fn what_was_written_before_the_server_accepts_arrives() {
    let site = Site::new();
    let mut listener = site.bind();
    let mut client = site.connect();
    assert_eq!(write(&mut client).unwrap(), 5);
    drop(client);
    let mut server = listener.try_accept().unwrap();
    assert_eq!(read(&mut server).unwrap(), 5);
    assert_eq!(read_at_last(&mut server).unwrap(), 0);
    assert_eq!(kind(write(&mut server)), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_server_killed_before_it_accepts_is_seen_by_both_halves() {
    let site = Site::new();
    let listener = site.bind();
    let mut clients = [site.connect(), site.connect()];
    for client in &mut clients {
        while write_much(client).is_ok() {}
        assert_eq!(kind(read(client)), io::ErrorKind::WouldBlock);
        assert!(client.reader.arm());
        while !client.writer.arm() {}
    }
    listener.close_without_a_trace();
    for client in &mut clients {
        let error = read_at_last(client).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(error.to_string().contains("before it accepted"), "{error}");
        wait(client.writer.as_fd());
        while client.writer.arm() {
            wait(client.writer.as_fd());
        }
        assert_eq!(kind(write(client)), io::ErrorKind::BrokenPipe);
    }
    drop(clients);
    assert!(site.clients().is_empty(), "the clients have removed their files");
    drop(site.bind());
    assert!(!site.place().exists());
}

#[test]
fn a_server_closed_before_it_accepts_is_seen() {
    let site = Site::new();
    let listener = site.bind();
    let mut client = site.connect();
    drop(listener);
    assert!(!site.place().exists());
    assert_eq!(read_at_last(&mut client).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

fn write_much(end: &mut Transport) -> io::Result<usize> {
    end.writer.try_write(&[IoSlice::new(&[7; 100_000]), IoSlice::new(&[8; 100_000])])
}

#[test]
fn segments_are_used_in_turn_and_never_grow() {
    let site = Site::new();
    let (mut server, mut client, segments) = site.connected();
    for _ in 0..5 {
        let mut written = 0;
        while let Ok(count) = write_much(&mut client) {
            written += count;
        }
        assert_eq!(written, WINDOW);
        for segment in &segments {
            assert_eq!(segment.metadata().unwrap().len(), SEGMENT);
        }
        let mut buffer = Vec::with_capacity(WINDOW);
        // One read goes over both.
        assert_eq!(server.reader.try_read(&mut buffer, WINDOW).unwrap(), WINDOW);
        for segment in &segments {
            assert_eq!(segment.metadata().unwrap().len(), 0);
        }
    }
}

#[test]
fn a_segment_that_has_become_shorter_is_an_error() {
    let site = Site::new();
    let (mut server, mut client, segments) = site.connected();
    assert_eq!(write_much(&mut client).unwrap(), 200_000);
    assert_eq!(read(&mut server).unwrap(), 16);
    segments[0].set_len(10).unwrap();
    assert_eq!(read_at_last(&mut server).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_segment_that_is_too_long_is_an_error() {
    let site = Site::new();
    let (mut server, _client, segments) = site.connected();
    segments[0].set_len(u64::from(u32::MAX)).unwrap();
    let mut buffer = Vec::with_capacity(WINDOW);
    let error = server.reader.try_read(&mut buffer, WINDOW).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(buffer.len() <= WINDOW);
}

/// A client that does anything to its files, at any time.
#[test]
fn whatever_a_client_does_to_its_files_only_its_connection_ends() {
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    println!("seed {seed}");
    let mut state = seed;
    let mut below = move |limit: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    for _ in 0..60 {
        let site = Site::new();
        let (mut server, mut client, segments) = site.connected();
        for _ in 0..100 {
            let segment = &segments[usize::try_from(below(2)).unwrap()];
            match below(9) {
                0 => segment.set_len(below(2 * SEGMENT)).unwrap(),
                1 => drop(segment.write_at(&[9; 5000], below(SEGMENT))),
                2 => segment.set_permissions(Permissions::from_mode(0o600)).unwrap(),
                3 if below(20) == 0 => {
                    segment.set_permissions(Permissions::from_mode(0o700)).unwrap();
                }
                4 | 5 => drop(write_much(&mut client)),
                6 => drop(write(&mut server)),
                7 => drop((server.reader.arm(), server.writer.arm())),
                _ => {
                    let mut buffer = Vec::with_capacity(300_000);
                    let read = server.reader.try_read(&mut buffer, 300_000);
                    assert!(buffer.len() <= 300_000);
                    match read {
                        Ok(count) => assert_eq!(count, buffer.len()),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => {
                            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// The sub-directory of a client, by hand.
fn make_client(place: &Path, digit: char) -> PathBuf {
    let path = place.join(format!("new.{digit}"));
    DirBuilder::new().mode(0o700).create(&path).unwrap();
    for name in spool::NAMES {
        let path = path.join(name);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    }
    path
}

/// Spoils the files of a client, which otherwise would be accepted.
type Spoil = fn(&Path, &Path);

#[test]
fn what_no_client_makes_is_passed_over_and_left_alone() {
    let spoils: [Spoil; 10] = [
        // Nobody holds it.
        |_, _| {},
        |client, _| fs::remove_file(client.join("up.1")).unwrap(),
        |client, precious| replace(client, "up.0", |path| symlink(precious, path)),
        |client, precious| replace(client, "up.0", |path| fs::hard_link(precious, path)),
        |client, precious| replace(client, "down.1", |path| fs::hard_link(precious, path)),
        |client, _| replace(client, "up.0", |path| Ok(mkfifo(path, Mode::S_IRWXU)?)),
        |client, _| replace(client, "down.0", |path| DirBuilder::new().mode(0o700).create(path)),
        |client, _| {
            fs::set_permissions(client.join("down.0"), Permissions::from_mode(0o644)).unwrap()
        },
        |client, _| fs::write(client.join("down.0"), "words in your mouth").unwrap(),
        |client, _| fs::set_permissions(client, Permissions::from_mode(0o755)).unwrap(),
    ];
    let site = Site::new();
    let precious = site.0.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    fs::set_permissions(&precious, Permissions::from_mode(0o600)).unwrap();
    let mut listener = site.bind();
    for (number, spoil) in spoils.iter().enumerate() {
        let client = make_client(&site.place(), 'f');
        if number > 0 {
            // What its client has written and ended would be accepted.
            fs::set_permissions(client.join("up.0"), Permissions::from_mode(0o700)).unwrap();
        }
        spoil(&client, &precious);
        fs::rename(&client, site.place().join(format!("client.{number:032x}"))).unwrap();
    }
    // Directly a link.
    symlink(site.0.path(), site.place().join("new.link")).unwrap();
    fs::rename(site.place().join("new.link"), site.place().join(format!("client.{:032x}", 99)))
        .unwrap();
    let mut client = site.connect();
    let mut server = listener.try_accept().unwrap();
    assert_eq!(write(&mut client).unwrap(), 5);
    assert_eq!(read(&mut server).unwrap(), 5);
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(is_quiet(listener.as_fd()));
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
}

#[test]
fn a_well_made_client_is_accepted() {
    let site = Site::new();
    let mut listener = site.bind();
    let client = make_client(&site.place(), 'f');
    fs::write(client.join("up.0"), "hello").unwrap();
    fs::set_permissions(client.join("up.0"), Permissions::from_mode(0o700)).unwrap();
    fs::rename(&client, site.place().join(format!("client.{:032x}", 1))).unwrap();
    let mut server = listener.try_accept().unwrap();
    assert_eq!(server.peer.uid, Some(geteuid().as_raw()));
    assert_eq!((server.peer.pid, server.peer.known_by), (None, "owner of its files"));
    assert_eq!(read(&mut server).unwrap(), 5);
    assert_eq!(read_at_last(&mut server).unwrap(), 0);
}

#[test]
fn what_a_killed_server_leaves_is_taken_over() {
    let site = Site::new();
    let listener = site.bind();
    make_client(&site.place(), 'f');
    fs::rename(site.place().join("new.f"), site.place().join(format!("new.{:032x}", 1))).unwrap();
    fs::write(site.place().join("new.server.0"), "").unwrap();
    let client = site.connect();
    std::mem::forget(client);
    listener.close_without_a_trace();
    assert!(matches!(connect(&site.address()).unwrap_err().kind(), ErrorKind::ServerAbsent { .. }));
    let listener = site.bind();
    assert!(site.clients().is_empty());
    drop(listener);
    assert!(!site.place().exists());
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    let site = Site::new();
    DirBuilder::new().mode(0o700).create(site.place()).unwrap();
    fs::write(site.place().join("precious"), "precious").unwrap();
    let error = site.try_bind().map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("move them away"), "{error}");
    assert_eq!(fs::read(site.place().join("precious")).unwrap(), b"precious");
    let error = connect(&site.address()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
}

#[test]
fn a_link_is_refused_by_both_sides() {
    let site = Site::new();
    let elsewhere = Site::new();
    let _listener = elsewhere.bind();
    symlink(elsewhere.place(), site.place()).unwrap();
    for error in [site.try_bind().map(drop).unwrap_err(), connect(&site.address()).unwrap_err()] {
        assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    }
}

/// Whoever dies closes one after the other, and is told of before it has let go.
#[test]
fn a_server_that_has_lost_one_lock_is_dead() {
    for lost in [0, 1] {
        let scratch = Scratch::new();
        let place = OwnedFd::from(File::open(scratch.path()).unwrap());
        let mut held = Vec::from(place::announce(&place).unwrap());
        let seen = place::find_server(&place).unwrap();
        assert!(spool::are_held(&seen).unwrap());
        drop(held.remove(lost));
        assert!(!spool::are_held(&seen).unwrap());
    }
}

#[test]
fn a_server_of_another_version_is_not_talked_to() {
    let site = Site::new();
    let _listener = site.bind();
    for other in [&b"ipcall file, version 2\n"[..], b"", &[b'x'; 10_000]] {
        fs::write(site.place().join("server.0"), other).unwrap();
        let error = connect(&site.address()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("another version"), "{error}");
        // Nor taken for dead.
        let error = site.try_bind().map(drop).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::AddressInUse { .. }), "{error:?}");
    }
}

#[test]
fn the_layout_names_the_length_of_a_segment() {
    let text = str::from_utf8(spool::LAYOUT).unwrap();
    assert!(text.contains(&format!("segments of {SEGMENT} bytes")), "{text}");
}

/// Puts something else in the place of a file.
fn replace(client: &Path, name: &str, make: impl FnOnce(&Path) -> io::Result<()>) {
    let path = client.join(name);
    fs::remove_file(&path).unwrap();
    make(&path).unwrap();
}
