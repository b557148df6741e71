//! What is believed of a peer, what a death leaves, and what happens at the limits.

mod deaths;
mod lies;

use std::fs;
use std::io::{self, BufRead, BufReader, IoSlice};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use ipcall_core::transport::{Listener as _, ReadHalf, Transport, WriteHalf};
use ipcall_core::{ErrorKind, RpcError, Settings};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::helper::{Ear, Helper};
use super::lobby::{SLOTS, Stage};
use super::objects::{self, LOCK, Objects, SERVER};
use super::*;
use crate::key_file::{KeyFile, Record};
use crate::ring::{Memory, Order, Word};
use crate::sys::{Mapping, Region, Segment, Semaphores, Words};

const CAPACITY: usize = 4096;

/// A private directory for key files, which is empty again at the end.
struct Place {
    directory: PathBuf,
    address: Address,
}

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipcall-sysv-shm-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let address = parse_uri(&format!("{}?ring=4KiB", fresh(&directory, "server")));
        Self { directory, address }
    }

    fn bind(&self) -> Listener {
        Listener::bind(&self.address, &Settings::default()).unwrap()
    }

    fn connect(&self) -> Result<Transport, RpcError> {
        connect(&self.address)
    }

    /// A server, and the two ends of a connection of it.
    fn pair(&self) -> (Listener, Transport, Transport) {
        let mut listener = self.bind();
        let client = self.connect().unwrap();
        let server = accept(&mut listener);
        (listener, server, client)
    }

    /// Starts this test program again, to play `role` here, until it says that it has.
    fn start(&self, role: &str) -> Player {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sysv_shm::tests::play", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(ABOUT, self.address.file.path.as_os_str())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map(Result::unwrap).find(|line| line.contains("ready"));
        assert!(ready.is_some(), "{role} has ended");
        Player(child)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left: Vec<_> = fs::read_dir(&self.directory).into_iter().flatten().collect();
        let _ = fs::remove_dir_all(&self.directory);
        assert!(thread::panicking() || left.is_empty(), "{left:?}");
    }
}

const ROLE: &str = "IPCALL_SYSV_SHM_ROLE";
const ABOUT: &str = "IPCALL_SYSV_SHM_ABOUT";

/// A process that plays a role. Dropping it kills it.
struct Player(Child);

impl Player {
    fn id(&self) -> u32 {
        self.0.id()
    }

    fn kill(mut self) -> u32 {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        self.0.id()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays a role, if there is one to play.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let path = std::env::var(ABOUT).unwrap();
    let address = parse_uri(&format!("sysv-shm:{path}?ring=4KiB"));
    let settings = Settings::default();
    let _held: Box<dyn std::any::Any> = match role.as_str() {
        "lock" => {
            let (record, _) = address.file.find(TITLE).unwrap();
            let objects = Objects::find(record.key, record.pid).unwrap().unwrap();
            assert!(objects.semaphores.lock(LOCK, Duration::from_secs(60)).unwrap());
            Box::new(objects)
        }
        "claim" => {
            let (record, _) = address.file.find(TITLE).unwrap();
            let objects = Objects::find(record.key, record.pid).unwrap().unwrap();
            let pid = std::process::id();
            assert!(objects.lobby.slot(0).advance(pid, Stage::Free, Stage::Claimed));
            objects::with_free_key(|key| {
                objects.lobby.slot(0).set_key(key);
                Segment::create(key, 5000)
            })
            .unwrap();
            Box::new(objects)
        }
        "client" => Box::new(connect(&address).unwrap()),
        "server" => {
            let listener = Listener::bind(&address, &settings).unwrap();
            // One is accepted, another waits for it.
            let mut clients = vec![connect(&address).unwrap()];
            let mut listener = listener;
            let server = accept(&mut listener);
            clients.push(connect(&address).unwrap());
            Box::new((listener, server, clients))
        }
        "listener" => Box::new(Listener::bind(&address, &settings).unwrap()),
        "nameless server" => {
            let mut listener = Listener::bind(&address, &settings).unwrap();
            let client = connect(&address).unwrap();
            let server = accept(&mut listener);
            drop(listener);
            Box::new((server, client))
        }
        other => panic!("there is no role {other}"),
    };
    println!("ready");
    loop {
        thread::park();
    }
}

fn parse_uri(uri: &str) -> Address {
    parse(&Parts::split(uri).unwrap()).unwrap()
}

fn wait(descriptor: impl AsFd, timeout: PollTimeout) -> bool {
    let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, timeout).unwrap() > 0
}

const MINUTE: u16 = 60_000;

fn try_accept(listener: &mut Listener) -> io::Result<Transport> {
    loop {
        match listener.try_accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(wait(&*listener, PollTimeout::from(MINUTE)));
            }
            result => return result,
        }
    }
}

fn accept(listener: &mut Listener) -> Transport {
    try_accept(listener).unwrap()
}

fn read(reader: &mut dyn ReadHalf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64);
    loop {
        match reader.try_read(&mut bytes, 64) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if reader.arm() {
                    assert!(wait(reader.as_fd(), PollTimeout::from(MINUTE)));
                }
            }
            result => return result.map(|_| bytes),
        }
    }
}

fn write(writer: &mut dyn WriteHalf, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match writer.try_write(&[IoSlice::new(bytes)]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if writer.arm() {
                    assert!(wait(writer.as_fd(), PollTimeout::from(MINUTE)));
                }
            }
            result => return result,
        }
    }
}

/// Both ways.
fn echo(server: &mut Transport, client: &mut Transport) {
    write(&mut *client.writer, b"there").unwrap();
    assert_eq!(read(&mut *server.reader).unwrap(), b"there");
    write(&mut *server.writer, b"back").unwrap();
    assert_eq!(read(&mut *client.reader).unwrap(), b"back");
}

fn until(condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it has not come about for a minute");
}

/// How many segments a process has made.
fn segments_of(pid: u32) -> usize {
    let list = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let maker = |line: &str| line.split_whitespace().nth(4).map(str::to_owned);
    list.lines().filter(|line| maker(line) == Some(pid.to_string())).count()
}

#[test]
fn many_clients_at_once_each_have_a_slot() {
    let place = Place::new();
    let mut listener = place.bind();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut client = place.connect().unwrap();
                    assert_eq!(read(&mut *client.reader).unwrap(), b"welcome");
                }
            });
        }
        for _ in 0..160 {
            write(&mut *accept(&mut listener).writer, b"welcome").unwrap();
        }
    });
    assert_eq!(listener.objects().semaphores.value(LOCK).unwrap(), 1);
}

#[test]
fn segments_are_marked_for_removal_once_both_have_them() {
    let place = Place::new();
    let mut listener = place.bind();
    let mut client = place.connect().unwrap();
    let segment = Segment::from_id(listener.objects().lobby.slot(0).id().unwrap());
    assert_ne!(segment.status().unwrap().key, 0);
    let mut server = accept(&mut listener);
    let status = segment.status().unwrap();
    assert_eq!((status.key, status.attached), (0, 2));
    echo(&mut server, &mut client);
    drop((server, client));
    assert!(segment.status().is_err());
    // And the lobby when nobody is let in any more.
    let lobby = listener.objects().segment;
    let semaphores = listener.objects().semaphores;
    drop(listener);
    assert!(lobby.status().is_err() && semaphores.status().is_err());
}

#[test]
fn more_clients_than_slots_are_told_so() {
    let place = Place::new();
    let (mut listener, mut server, mut client) = place.pair();
    let lobby = listener.objects().lobby.clone();
    let claim_all = |pid| {
        for slot in 1..SLOTS {
            assert!(lobby.slot(slot).advance(pid, Stage::Free, Stage::Claimed));
        }
        let error = place.connect().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Overloaded { limit: 256, .. }), "{error:?}");
    };
    let own = std::process::id();
    claim_all(own);
    echo(&mut server, &mut client);
    // One gives up.
    assert!(lobby.slot(77).advance(own, Stage::Claimed, Stage::Free));
    let mut last = place.connect().unwrap();
    echo(&mut accept(&mut listener), &mut last);
    drop(last);
    until(|| matches!(lobby.slot(77).state(), Some((Stage::Free, _))));
    for slot in (1..SLOTS).filter(|slot| *slot != 77) {
        assert!(lobby.slot(slot).advance(own, Stage::Claimed, Stage::Free));
    }
    // All have died, which the server finds out because somebody else wants to come in.
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    claim_all(child.id());
    until(|| (1..SLOTS).all(|slot| matches!(lobby.slot(slot).state(), Some((Stage::Free, _)))));
    place.connect().unwrap();
}

#[test]
fn what_was_written_is_read_before_the_semaphores_are_missed() {
    let place = Place::new();
    let (listener, mut server, mut client) = place.pair();
    drop(listener);
    write(&mut *server.writer, b"last words").unwrap();
    drop(server);
    assert_eq!(read(&mut *client.reader).unwrap(), b"last words");
    for _ in 0..3 {
        assert_eq!(read(&mut *client.reader).unwrap(), b"");
    }
    let error = write(&mut *client.writer, b"?").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_client_that_leaves_at_once_has_come_and_closed() {
    let place = Place::new();
    let mut listener = place.bind();
    for _ in 0..100 {
        let mut client = place.connect().unwrap();
        write(&mut *client.writer, b"bye").unwrap();
        drop(client);
        let mut server = accept(&mut listener);
        assert_eq!(read(&mut *server.reader).unwrap(), b"bye");
        assert_eq!(read(&mut *server.reader).unwrap(), b"");
    }
}

#[test]
fn other_users_cannot_be_allowed() {
    let place = Place::new();
    let mut settings = Settings::default();
    settings.allow_uids = vec![1];
    let error = Listener::bind(&place.address, &settings).map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidEndpoint { .. }), "{error:?}");
    assert!(error.to_string().contains("unix:"), "{error}");
}

#[test]
fn the_processes_at_both_ends_are_known() {
    let place = Place::new();
    let (_listener, server, client) = place.pair();
    for peer in [&server.peer, &client.peer] {
        assert_eq!(peer.pid, Some(std::process::id()));
        assert_eq!(peer.uid, Some(nix::unistd::geteuid().as_raw()));
    }
}

#[test]
fn limits_are_named_with_their_values() {
    let os = io::Error::from_raw_os_error;
    for (error, expected) in [
        (limits::explain_segment(os(libc::ENOSPC), 77), vec!["kernel.shmmni", "77 bytes"]),
        (limits::explain_segment(os(libc::EINVAL), 77), vec!["kernel.shmmax", "77 are needed"]),
        (limits::explain_segment(os(libc::ENOMEM), 77), vec!["no memory", "77 bytes"]),
        (limits::explain_objects(os(libc::ENOSPC)), vec!["kernel.sem", "a set of 259"]),
        (limits::explain_objects(os(libc::EINVAL)), vec!["kernel.sem", "259 are needed"]),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        let text = error.to_string();
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("unknown"), "{text}");
    }
}

#[test]
fn rings_have_sizes_that_fit() {
    let ring = |query: &str| {
        parse(&Parts::split(&format!("sysv-shm:/run/key{query}")).unwrap())
            .map(|address| address.ring)
    };
    assert_eq!(ring(""), Ok(256 << 10));
    assert_eq!(ring("?ring=1MiB"), Ok(1 << 20));
    for wrong in ["2MiB", "5000", "0", "1"] {
        let error = ring(&format!("?ring={wrong}")).unwrap_err();
        assert!(error.contains("from 4KiB to 1MiB"), "{error}");
    }
}
