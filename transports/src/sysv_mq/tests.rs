//! What a server makes of messages that no honest client sends, of queues that somebody fills or removes, and
//! of clients that die; in `names`, of what it finds where its key file should be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use ipcall_core::transport::{Listener as _, ReadHalf, Transport, WriteHalf};
use ipcall_core::{ErrorKind, RpcError, Settings};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::credit::SLOTS;
use super::frame::{FIRST_RETURN_ADDRESS, Header, Hello, LOBBY, Purpose, VERSION, Welcome};
use super::state::Route;
use super::*;
use crate::key_file::{Address, Contents, KeyFile, Record};
use crate::sys::message_queue::{Kind, Message, Queue};

mod names;

/// An address in a directory of its own, which is to be empty at the end.
struct Place {
    address: Address,
}

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipcall-sysv-mq-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&directory).unwrap();
        let name = OsString::from("key");
        Self { address: Address { path: directory.join(&name), directory, name } }
    }

    fn path(&self) -> &Path {
        &self.address.path
    }

    fn bind(&self) -> Result<Listener, RpcError> {
        Listener::bind(&self.address, &Settings::default())
    }

    fn connect(&self) -> Result<Transport, RpcError> {
        connect(&self.address)
    }

    /// A listener, and so many connections: the server's ends and the clients'.
    fn pairs(&self, count: usize) -> (Listener, Vec<(Transport, Transport)>) {
        let mut listener = self.bind().unwrap();
        let pair = || {
            let client = self.connect().unwrap();
            (accept(&mut listener), client)
        };
        let pairs = std::iter::repeat_with(pair).take(count).collect();
        (listener, pairs)
    }

    fn record(&self) -> Record {
        match KeyFile::open(self.path()).unwrap().unwrap().read(TITLE).unwrap() {
            Contents::Record(record) => record,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left: Vec<_> = fs::read_dir(&self.address.directory).unwrap().collect();
        fs::remove_dir_all(&self.address.directory).unwrap();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

fn wait(fd: impl AsFd, timeout: PollTimeout) -> bool {
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout).unwrap() > 0
}

fn accept(listener: &mut Listener) -> Transport {
    loop {
        match listener.try_accept() {
            Ok(transport) => return transport,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        assert!(wait(&*listener, PollTimeout::from(60_000_u16)));
    }
}

fn read(reader: &mut dyn ReadHalf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64);
    loop {
        match reader.try_read(&mut bytes, 64) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if reader.arm() {
                    assert!(wait(reader.as_fd(), PollTimeout::from(60_000_u16)));
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
                    assert!(wait(writer.as_fd(), PollTimeout::from(60_000_u16)));
                }
            }
            result => return result,
        }
    }
}

/// Both ways, so that all that was sent before has been received.
fn echo((server, client): &mut (Transport, Transport)) {
    write(&mut *client.writer, b"there").unwrap();
    assert_eq!(read(&mut *server.reader).unwrap(), b"there");
    write(&mut *server.writer, b"back").unwrap();
    assert_eq!(read(&mut *client.reader).unwrap(), b"back");
}

fn send(queue: Queue, kind: Kind, header: Header, bytes: &[u8]) {
    link::send(queue, kind, header, bytes).unwrap();
}

/// Fills `queue` with messages of this kind until nothing more fits in.
fn fill(queue: Queue, kind: Kind) {
    let mut message = Message::new();
    message.set_kind(kind);
    for length in [2048, 16, 1] {
        while queue.send(&message, length).is_ok() {}
    }
}

#[test]
fn messages_of_nobody_are_counted_and_do_no_harm() {
    let place = Place::new();
    let (listener, mut pairs) = place.pairs(2);
    let pair = &listener.pairs()[0];
    let Route { receiving, kind, tag, .. } = pair.routes()[0];
    let bare = |purpose| Header::bare(tag, purpose);
    let hello = |start, address: Kind| {
        let address = address as u64;
        Hello { start, return_address: address, pid: std::process::id(), version: VERSION }
            .to_bytes()
    };
    let start = place.record().start;
    let stray: [(Kind, Header, &[u8]); 14] = [
        (LOBBY, bare(Purpose::Hello), b""),
        (LOBBY, bare(Purpose::Hello), &hello(start + 1, FIRST_RETURN_ADDRESS)),
        (LOBBY, bare(Purpose::Hello), &hello(start, LOBBY)),
        (LOBBY, bare(Purpose::Hello), &hello(start, kind)),
        (LOBBY, bare(Purpose::Leave), b"short"),
        (LOBBY, bare(Purpose::Leave), &u64::MAX.to_le_bytes()),
        (LOBBY, bare(Purpose::Leave), &(FIRST_RETURN_ADDRESS as u64).to_le_bytes()),
        (LOBBY, bare(Purpose::Stream), b"bytes"),
        (kind + 1_000_000, bare(Purpose::Stream), b"bytes"),
        (Kind::MAX, bare(Purpose::Stream), b"bytes"),
        (kind, Header::bare(!tag, Purpose::Stream), b"bytes"),
        (kind, Header::bare(!tag, Purpose::Leave), b""),
        (kind, bare(Purpose::Mark), &[0; 8]),
        (kind, bare(Purpose::Answer), &[0; 8]),
    ];
    let before = pair.strays();
    for (kind, header, bytes) in stray {
        send(receiving, kind, header, bytes);
    }
    let mut message = Message::new();
    message.set_kind(kind);
    for length in 0..16 {
        receiving.send(&message, length).unwrap();
    }
    pairs.iter_mut().for_each(echo);
    assert_eq!(pair.strays() - before, 14 + 16);
}

#[test]
fn a_liar_ends_its_own_connection_only() {
    let place = Place::new();
    let (listener, mut pairs) = place.pairs(2);
    let pair = &listener.pairs()[0];
    let routes = pair.routes();
    let lied = routes.iter().min_by_key(|route| route.kind).unwrap();
    send(lied.receiving, lied.kind, Header::bare(lied.tag, Purpose::Stream), &[0; 1000]);
    let error = read(&mut *pairs[0].0.reader).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("credit"), "{error}");
    echo(&mut pairs[1]);
    // Its honest half sees an end, and its place is free again.
    drop(pairs.remove(0));
    echo(&mut pairs[0]);
    until(|| pair.routes().len() == 1);
}

fn until(condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it has not come about for a minute");
}

#[test]
fn nobody_says_hello_for_a_process_that_is_not_there() {
    let place = Place::new();
    let (mut listener, mut pairs) = place.pairs(1);
    let pair = &listener.pairs()[0];
    let hello = Hello {
        start: place.record().start,
        return_address: FIRST_RETURN_ADDRESS as u64 + 1,
        pid: 0x7fff_fff0,
        version: VERSION,
    };
    send(pair.queues.request, LOBBY, Header::bare(0, Purpose::Hello), &hello.to_bytes());
    echo(&mut pairs[0]);
    assert_eq!(pair.routes().len(), 1);
    // One that lives, but never answers, is not accepted, and keeps its place only as long as it lives.
    let mut silent = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let hello = Hello { pid: silent.id(), ..hello };
    send(pair.queues.request, LOBBY, Header::bare(0, Purpose::Hello), &hello.to_bytes());
    echo(&mut pairs[0]);
    assert_eq!(pair.routes().len(), 2);
    assert!(!wait(&listener, PollTimeout::ZERO));
    silent.kill().unwrap();
    silent.wait().unwrap();
    assert!(wait(&listener, PollTimeout::ZERO), "nobody notices that it has died");
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    until(|| pair.routes().len() == 1 && pair.queues.reply.status().unwrap().messages == 0);
    assert!(!wait(&listener, PollTimeout::ZERO), "that would be spinning");
}

/// Killed when the server has closed its connection, before it could say that it has gone.
#[test]
fn a_client_that_dies_after_its_connection_was_closed_is_forgotten() {
    let place = Place::new();
    let (mut listener, mut pairs) = place.pairs(1);
    let pair = listener.pairs().remove(0);
    let mut silent = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let address = FIRST_RETURN_ADDRESS + 1;
    let hello = Hello {
        start: place.record().start,
        return_address: address as u64,
        pid: silent.id(),
        version: VERSION,
    };
    send(pair.queues.request, LOBBY, Header::bare(0, Purpose::Hello), &hello.to_bytes());
    echo(&mut pairs[0]);
    let mut message = Message::new();
    let of_it = message_queue::Which::Kind(address);
    let length = pair.queues.reply.receive(&mut message, of_it, false).unwrap();
    let (_, bytes) = Header::split(message.received(length).unwrap()).unwrap();
    let welcome = Welcome::from_bytes(bytes).unwrap();
    let header = Header::bare(welcome.tag, Purpose::Answer);
    let challenge = welcome.challenge.to_le_bytes();
    send(pair.queues.request, Kind::try_from(welcome.id).unwrap(), header, &challenge);
    drop(accept(&mut listener));
    assert_eq!(pair.routes().len(), 2);
    silent.kill().unwrap();
    silent.wait().unwrap();
    assert!(wait(&listener, PollTimeout::ZERO), "nobody notices that it has died");
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!((pair.routes().len(), pair.queues.reply.status().unwrap().messages), (1, 0));
    assert!(!wait(&listener, PollTimeout::ZERO), "that would be spinning");
    echo(&mut pairs[0]);
}

#[test]
fn another_version_is_refused() {
    let place = Place::new();
    let (listener, mut pairs) = place.pairs(1);
    let queues = listener.pairs()[0].queues;
    let address = FIRST_RETURN_ADDRESS + 1;
    let hello = Hello {
        start: place.record().start,
        return_address: address as u64,
        pid: std::process::id(),
        version: VERSION + 1,
    };
    send(queues.request, LOBBY, Header::bare(0, Purpose::Hello), &hello.to_bytes());
    echo(&mut pairs[0]);
    let mut message = Message::new();
    let length =
        queues.reply.receive(&mut message, message_queue::Which::Kind(address), false).unwrap();
    let (header, bytes) = Header::split(message.received(length).unwrap()).unwrap();
    assert_eq!((header.purpose, bytes), (Purpose::Refusal, &[4][..]));
}

#[test]
fn a_request_queue_that_somebody_fills_is_waited_for() {
    let place = Place::new();
    let (listener, mut pairs) = place.pairs(2);
    let pair = listener.pairs().remove(0);
    {
        let _stopped = pair.stop();
        // The first is taken out, and kept in hand.
        fill(pair.queues.request, Kind::MAX);
        std::thread::sleep(std::time::Duration::from_millis(20));
        fill(pair.queues.request, Kind::MAX);
        for (_, client) in &mut pairs {
            let error = client.writer.try_write(&[IoSlice::new(b"there")]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(client.writer.arm());
            assert!(!wait(client.writer.as_fd(), PollTimeout::ZERO), "that would be spinning");
        }
        let error = place.connect().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
        assert!(error.to_string().contains("full"), "{error}");
    }
    for (_, client) in &mut pairs {
        assert!(wait(client.writer.as_fd(), PollTimeout::from(60_000_u16)), "nobody said so");
    }
    pairs.iter_mut().for_each(echo);
}

#[test]
fn a_reply_queue_that_somebody_fills_ends_what_does_not_fit() {
    let place = Place::new();
    let (listener, mut pairs) = place.pairs(2);
    let queues = listener.pairs()[0].queues;
    fill(queues.reply, Kind::MAX);
    let error = write(&mut *pairs[0].0.writer, b"back").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(error.to_string().contains("full of messages that nobody takes"), "{error}");
    queues::drain(queues.reply, Kind::MAX);
    echo(&mut pairs[1]);
}

#[test]
fn a_removed_queue_is_noticed_on_both_sides() {
    for which in 0..2 {
        let place = Place::new();
        let (mut listener, mut pairs) = place.pairs(1);
        let queues = listener.pairs()[0].queues;
        let (server, client) = &mut pairs[0];
        if which == 0 {
            queues.request.remove().unwrap();
            assert!(wait(&listener, PollTimeout::from(60_000_u16)));
            let error = listener.try_accept().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::EIDRM));
            let error = read(&mut *server.reader).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            let error = write(&mut *client.writer, b"there").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        } else {
            queues.reply.remove().unwrap();
            let error = read(&mut *client.reader).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            let error = write(&mut *server.writer, b"back").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        let error = place.connect().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    }
}

#[test]
fn every_sixteen_connections_have_queues_of_their_own() {
    let place = Place::new();
    let (listener, mut pairs) = place.pairs(2 * SLOTS + 1);
    assert_eq!(listener.pairs().len(), 3);
    pairs.iter_mut().for_each(echo);
    let requests: Vec<_> = listener.pairs().iter().map(|pair| pair.queues.request).collect();
    drop(pairs);
    // When the next one comes, one pair is kept that nobody uses, and the other is not.
    until(|| listener.pairs().iter().all(|pair| pair.routes().is_empty()));
    let _client = place.connect().unwrap();
    until(|| listener.pairs().len() == 2);
    // They go when it is out of the list.
    until(|| requests.iter().filter(|queue| queue.status().is_ok()).count() == 2);
    drop(listener);
    assert!(requests.iter().all(|queue| queue.status().is_err()));
}

#[test]
fn what_was_lent_is_back_when_a_connection_has_gone() {
    let place = Place::new();
    let (listener, pairs) = place.pairs(3);
    let pair = &listener.pairs()[0];
    let before = pair.free();
    for (mut server, mut client) in pairs {
        write(&mut *server.writer, &[0; 100_000]).unwrap();
        write(&mut *client.writer, &[0; 100_000]).unwrap();
    }
    until(|| pair.routes().is_empty());
    assert_eq!(pair.free(), before);
    let status = pair.queues.reply.status().unwrap();
    assert_eq!((status.messages, status.bytes), (0, 0));
}

#[test]
fn a_client_that_leaves_at_once_has_come_and_closed() {
    let place = Place::new();
    let mut listener = place.bind().unwrap();
    for _ in 0..100 {
        drop(place.connect().unwrap());
        assert_eq!(read(&mut *accept(&mut listener).reader).unwrap(), b"");
    }
    until(|| listener.pairs()[0].routes().is_empty());
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
    let (_listener, pairs) = place.pairs(1);
    for peer in [&pairs[0].0.peer, &pairs[0].1.peer] {
        assert_eq!(peer.pid, Some(std::process::id()));
        assert_eq!(peer.uid, Some(nix::unistd::geteuid().as_raw()));
    }
}
