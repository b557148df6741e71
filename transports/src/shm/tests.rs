//! What a peer that lies is told, and that nothing of it is believed.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ipcall_core::Settings;
use ipcall_core::transport::{Listener as _, Peer, ReadHalf, Transport, WriteHalf};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ftruncate, geteuid};

use super::joining::{MAGIC, WELCOME, join, send};
use super::*;
use crate::ring::{CONTROL, Memory, Order, Word};
use crate::sys::{Region, recv_with_descriptors};

const CAPACITY: usize = 4096;

/// A private directory that is empty again at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("ipcall-shm-{}-{count}", std::process::id())))
    }

    /// An endpoint in it, with rings of this size.
    fn address(&self, ring: &str) -> Address {
        let uri = format!("{}?ring={ring}", fresh(&self.0, "rings"));
        parse(&Parts::split(&uri).unwrap()).unwrap()
    }
}

/// A peer that runs as the same user.
fn myself() -> Peer {
    let mut peer = Peer::default();
    peer.uid = Some(geteuid().as_raw());
    peer
}

/// The two ends of a connection.
fn connected(address: &Address) -> (Transport, Transport) {
    let settings = Settings::default();
    let mut listener = Listener::bind(address, &settings).unwrap();
    let client = connect(address, &settings).unwrap();
    (listener.try_accept().unwrap(), client)
}

/// A client whose server is this test: its halves, the connected socket, and the server's ends of the bells.
fn deceived() -> (Box<dyn ReadHalf>, Box<dyn WriteHalf>, OwnedFd, Vec<OwnedFd>) {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let (reader, writer) = join(theirs, &myself()).unwrap();
    let mut hello = [0; 64];
    let (count, bells) = recv_with_descriptors(ours.as_fd(), &mut hello).unwrap();
    assert_eq!((&hello[..count], bells.len()), (&MAGIC[..], 4));
    (reader, writer, ours, bells)
}

fn welcome(capacity: usize) -> [u8; WELCOME] {
    let mut bytes = [0; WELCOME];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&(capacity as u64).to_le_bytes());
    bytes
}

fn read(reader: &mut dyn ReadHalf) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(CAPACITY);
    reader.try_read(&mut buffer, CAPACITY).map(|_| buffer)
}

fn write(writer: &mut dyn WriteHalf, bytes: &[u8]) -> io::Result<usize> {
    writer.try_write(&[IoSlice::new(bytes)])
}

#[test]
fn memory_that_could_shrink_is_not_mapped() {
    let length = (CONTROL + CAPACITY) as i64;
    let unsealed = || {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create("unsealed", flags).unwrap();
        ftruncate(&file, length).unwrap();
        file
    };
    let cases: [(&str, [OwnedFd; 2], usize); 4] = [
        ("is not sealed", [unsealed(), memory::make(CAPACITY).unwrap()], CAPACITY),
        ("is not sealed", [memory::make(CAPACITY).unwrap(), unsealed()], CAPACITY),
        ("bytes instead of", [memory::make(4096).unwrap(), memory::make(4096).unwrap()], 8192),
        ("a ring of 5000 bytes", [memory::make(4096).unwrap(), memory::make(4096).unwrap()], 5000),
    ];
    for (expected, memories, capacity) in cases {
        let (mut reader, mut writer, socket, _bells) = deceived();
        let numbers = memories.each_ref().map(AsRawFd::as_raw_fd);
        send(socket.as_fd(), &welcome(capacity), &numbers).unwrap();
        for error in [read(&mut *reader).unwrap_err(), write(&mut *writer, b"x").unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

#[test]
fn a_client_cannot_write_into_the_server_s_memory() {
    let scratch = Scratch::new();
    let (address, settings) = (scratch.address("4KiB"), Settings::default());
    let mut listener = Listener::bind(&address, &settings).unwrap();
    let (socket, _) = unix::connect_socket(&address.socket, &settings).unwrap();
    let pair =
        || socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let (bells, others) = (pair(), pair());
    send(socket.as_fd(), &MAGIC, &[bells.0.as_raw_fd(), others.0.as_raw_fd()]).unwrap();
    listener.try_accept().unwrap();
    let mut bytes = [0; WELCOME];
    let (_, memories) = recv_with_descriptors(socket.as_fd(), &mut bytes).unwrap();
    assert_eq!(memories.len(), 2);
    Region::map(&memories[0], CAPACITY, false).unwrap();
    assert!(Region::map(&memories[0], CAPACITY, true).is_err());
    Region::map(&memories[1], CAPACITY, true).unwrap();
    for memory in &memories {
        assert!(ftruncate(memory, 0).is_err(), "its size is sealed");
    }
}

#[test]
fn what_is_no_memory_is_not_mapped() {
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    for memories in [vec![null(), null()], vec![null()], vec![]] {
        let (mut reader, _writer, socket, _bells) = deceived();
        let numbers: Vec<i32> = memories.iter().map(AsRawFd::as_raw_fd).collect();
        send(socket.as_fd(), &welcome(CAPACITY), &numbers).unwrap();
        assert!(
            !matches!(read(&mut *reader), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        );
    }
}

#[test]
fn an_answer_that_is_none_ends_the_connection() {
    let (mut reader, _writer, socket, _bells) = deceived();
    send(socket.as_fd(), b"HTTP/1.1 400 Bad Request", &[]).unwrap();
    let error = read(&mut *reader).unwrap_err();
    assert!(error.to_string().contains("no server of this version"), "{error}");
}

#[test]
fn a_server_without_memory_says_so() {
    let (mut reader, _writer, socket, _bells) = deceived();
    let mut bytes = welcome(0);
    bytes[16..].copy_from_slice(&77_u64.to_le_bytes());
    send(socket.as_fd(), &bytes, &[]).unwrap();
    let error = read(&mut *reader).unwrap_err();
    assert!(error.to_string().contains("may have 77 bytes"), "{error}");
}

#[test]
fn indices_that_cannot_be_end_the_connection() {
    for (word, value) in [(Word::Tail, 5000), (Word::Tail, u64::MAX), (Word::Head, 1)] {
        let (mut reader, mut writer, socket, _bells) = deceived();
        let memories = [memory::make(CAPACITY).unwrap(), memory::make(CAPACITY).unwrap()];
        let ours = Region::map(&memories[0], CAPACITY, true).unwrap();
        let numbers = memories.each_ref().map(AsRawFd::as_raw_fd);
        send(socket.as_fd(), &welcome(CAPACITY), &numbers).unwrap();
        assert_eq!(read(&mut *reader).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        ours.store(word, value, Order::Synchronizing);
        let error = match word {
            Word::Tail => read(&mut *reader).unwrap_err(),
            _ => write(&mut *writer, &[0; CAPACITY + 1]).unwrap_err(),
        };
        assert!(error.to_string().contains("shared ring"), "{error}");
        // Nor does anybody sleep on it.
        assert!(word != Word::Tail || !reader.arm());
    }
}

#[test]
fn a_client_that_says_something_else_is_dropped_and_the_next_is_served() {
    let scratch = Scratch::new();
    let (address, settings) = (scratch.address("4KiB"), Settings::default());
    let mut listener = Listener::bind(&address, &settings).unwrap();
    let (wrong, _) = unix::connect_socket(&address.socket, &settings).unwrap();
    send(wrong.as_fd(), b"GET / HT", &[]).unwrap();
    let _client = connect(&address, &settings).unwrap();
    let error = listener.try_accept().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    listener.try_accept().unwrap();
}

#[test]
fn silent_clients_do_not_hold_up_the_others() {
    let scratch = Scratch::new();
    let (address, settings) = (scratch.address("4KiB"), Settings::default());
    let mut listener = Listener::bind(&address, &settings).unwrap();
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(unix::connect_socket(&address.socket, &settings).unwrap());
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    let _client = connect(&address, &settings).unwrap();
    listener.try_accept().unwrap();
}

#[test]
fn a_message_larger_than_the_ring_goes_through() {
    let scratch = Scratch::new();
    let (mut server, mut client) = connected(&scratch.address("4KiB"));
    let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number >> 3) as u8).collect();
    let (mut written, mut come) = (0, Vec::new());
    while come.len() < bytes.len() {
        written += write(&mut *client.writer, &bytes[written..]).unwrap_or(0);
        come.extend(read(&mut *server.reader).unwrap_or_default());
    }
    assert_eq!(come, bytes);
}

#[test]
fn two_hundred_connections_have_their_rings() {
    let scratch = Scratch::new();
    let (address, settings) = (scratch.address("256KiB"), Settings::default());
    let mut listener = Listener::bind(&address, &settings).unwrap();
    let mut pairs: Vec<_> = (0..200)
        .map(|_| {
            let client = connect(&address, &settings).unwrap();
            (listener.try_accept().unwrap(), client)
        })
        .collect();
    for (number, (server, client)) in pairs.iter_mut().enumerate() {
        write(&mut *server.writer, &number.to_le_bytes()).unwrap();
        assert_eq!(read(&mut *client.reader).unwrap(), number.to_le_bytes());
    }
}

#[test]
fn memory_beyond_the_budget_is_refused_and_comes_back() {
    let scratch = Scratch::new();
    let (address, settings) = (scratch.address("64KiB&memory=200KiB"), Settings::default());
    let mut listener = Listener::bind(&address, &settings).unwrap();
    let mut client = connect(&address, &settings).unwrap();
    let first = listener.try_accept().unwrap();
    let mut second = connect(&address, &settings).unwrap();
    let error = listener.try_accept().unwrap_err();
    assert!(error.to_string().contains("no shared memory left"), "{error}");
    let error = read(&mut *second.reader).unwrap_err();
    assert!(error.to_string().contains("may have 204800 bytes"), "{error}");
    assert_eq!(read(&mut *client.reader).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop((first, client));
    let _third = connect(&address, &settings).unwrap();
    listener.try_accept().unwrap();
}

#[test]
fn a_budget_is_at_least_one_connection_s() {
    let parse = |uri: &str| parse(&Parts::split(uri).unwrap());
    let error = parse("shm:/run/x?ring=1MiB&memory=2MiB").unwrap_err();
    assert!(error.contains("less than the 2105344 bytes that one connection takes"), "{error}");
    let error = parse("shm:/run/x?memory=much").unwrap_err();
    assert!(error.contains("for example memory=256MiB"), "{error}");
    let address = parse("shm:/run/x?memory=64MiB").unwrap();
    assert_eq!(address.budget, 64 << 20);
    // Without a word about it, one connection always fits.
    assert!(parse("shm:/run/x?ring=1GiB").unwrap().budget > 2 << 30);
}
