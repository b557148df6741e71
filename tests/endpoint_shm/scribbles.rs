//! A client that follows no rule but those of the kernel: it has the rings, written as `docs/TRANSPORTS.md`
//! describes them, and writes what it likes where it can, as fast as it can. Its connection ends; another
//! client's goes on.
//!
//! `IPCALL_SCRIBBLE_SECONDS=10 cargo test --release --test endpoint_shm scribbl -- --nocapture` does it for so
//! long with each kind of server, and says how connections ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ipcall::{Server, ipc_service};
use nix::cmsg_space;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::bells::Bells;
use crate::support::frame::{Hello, PREFACE};
use crate::support::holdings::Holdings;
use crate::support::random::Random;
use crate::support::waiting::until;
use crate::support::{Serving, Subject, Waits, Watchdog};
use crate::turn;

/// How long it scribbles, unless the environment says otherwise.
const SECONDS: f64 = 1.5;

/// How long a server waits for whoever has begun something.
const PATIENCE: Duration = Duration::from_millis(200);

/// The first bytes of both sides in the rendezvous.
const MAGIC: &[u8; 8] = b"ipcshm\x00\x02";
/// Bytes of the server's answer.
const WELCOME: usize = 24;
/// Bytes before a ring.
const CONTROL: u64 = 4096;
/// Bytes of a ring.
const RING: u64 = 4096;

/// Where the words are: tail, stamp, the letter, head, sleeps, deaf, the writer's sleeps, closed.
const WORDS: [u64; 13] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 128, 136, 192, 256];
const TAIL: u64 = 0;

#[ipc_service]
trait Echo {
    async fn echo(&self, data: Vec<u8>) -> Vec<u8>;
}

struct Same;

impl Echo for Same {
    async fn echo(&self, data: Vec<u8>) -> Vec<u8> {
        data
    }
}

/// A number such as indices are: often small, sometimes anything.
fn index(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.next(),
        1 => random.below(2),
        _ => random.below(4 * RING),
    }
}

/// The hostile client's side of a connection.
struct Scribbler {
    /// Its own memory, which the server reads.
    own: File,
    /// The server's, which it may only read.
    server: File,
    bells: Bells,
    tail: u64,
}

impl Scribbler {
    /// Connects as a client does. `None` if the server has dropped it meanwhile.
    fn connect(socket: &Path, random: &mut Random) -> Option<Self> {
        let socket = UnixStream::connect(socket).ok()?;
        let (bells, offer) = Bells::make(random);
        let descriptors: Vec<i32> = offer.iter().map(AsRawFd::as_raw_fd).collect();
        let message = [ControlMessage::ScmRights(&descriptors)];
        let bytes = [IoSlice::new(MAGIC)];
        sendmsg::<()>(socket.as_raw_fd(), &bytes, &message, MsgFlags::MSG_NOSIGNAL, None).ok()?;
        drop(offer);
        let mut welcome = [0; WELCOME];
        let mut space = cmsg_space!([i32; 2]);
        let mut into = [IoSliceMut::new(&mut welcome)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received =
            recvmsg::<()>(socket.as_raw_fd(), &mut into, Some(&mut space), flags).ok()?;
        let mut memories = Vec::new();
        for message in received.cmsgs().ok()? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the kernel has just made these descriptors for this process.
                memories.extend(numbers.into_iter().map(|number| unsafe { owned(number) }));
            }
        }
        let [server, own] = <[OwnedFd; 2]>::try_from(memories).ok()?;
        Some(Self { own: own.into(), server: server.into(), bells, tail: 0 })
    }

    fn set(&self, offset: u64, value: u64) {
        self.own.write_all_at(&value.to_ne_bytes(), offset).unwrap();
    }

    /// Wakes the server, if it listens.
    fn ring(&self) {
        for mut bell in &self.bells.rings {
            let _ = bell.write(&[1]);
        }
    }

    /// Sends bytes as one should.
    fn send(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.own.write_all_at(&[byte], CONTROL + self.tail % RING).unwrap();
            self.tail += 1;
        }
        self.set(TAIL, self.tail);
        self.ring();
    }

    fn greet(&mut self) {
        let hello = [PREFACE, &Hello::default().to_bytes()].concat();
        self.send(&hello);
    }

    fn punch(&self) {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&self.own, flags, 0, (CONTROL + RING) as i64).unwrap();
    }

    /// Does one kind of harm.
    fn scribble(&mut self, random: &mut Random) {
        if random.below(4) > 0 {
            self.greet();
        }
        let times = random.below(2_000);
        match random.below(8) {
            0 => {
                for _ in 0..times {
                    self.set(WORDS[random.below(13) as usize], index(random));
                    self.ring();
                }
            }
            1 => {
                for _ in 0..times {
                    let offset = random.below((CONTROL + RING) / 8) * 8;
                    self.set(offset, random.next());
                }
                self.ring();
            }
            // Nonsense, but within the rules of the ring.
            2 => {
                let bytes: Vec<u8> = (0..times).map(|_| random.next() as u8).collect();
                self.send(&bytes);
            }
            // Letters that are written while they are read.
            3 => {
                self.tail += random.below(48);
                for _ in 0..times {
                    let offset = 8 * random.below(8);
                    let value = if offset == 0 { self.tail } else { random.next() };
                    self.set(offset, value);
                }
                self.ring();
            }
            4 => {
                for _ in 0..times / 100 {
                    self.set(TAIL, self.tail + random.below(RING));
                    self.ring();
                    self.punch();
                }
            }
            5 => {
                assert!(self.own.set_len(0).is_err(), "the size is sealed");
                assert!(self.own.set_len(1 << 30).is_err(), "the size is sealed");
                assert!(self.server.write_at(&[1], 0).is_err(), "it is not ours to write");
                assert!(self.server.set_len(0).is_err(), "nor is its size");
            }
            // A bell that is rung without end, and nothing else.
            6 => {
                let until = Instant::now() + Duration::from_millis(random.below(20));
                while Instant::now() < until {
                    self.ring();
                }
            }
            // Bytes, and a bell that is never rung.
            _ => self.set(TAIL, self.tail + random.below(RING)),
        }
        if random.below(8) == 0 {
            // Until the server has had enough of it.
            thread::sleep(Duration::from_millis(random.below(20)));
        }
    }
}

/// # Safety
/// The number is that of a descriptor that nothing else owns.
unsafe fn owned(number: i32) -> OwnedFd {
    // SAFETY: as the caller has seen to.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[test]
fn scribbling_ends_one_connection_and_harms_no_other() {
    let _turn = turn();
    let seconds = std::env::var("IPCALL_SCRIBBLE_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |seconds| seconds.parse().unwrap());
    for waits in [Waits::Threads, Waits::CurrentThread] {
        let _watchdog = Watchdog::new(format!("scribbles for {waits:?}"));
        withstand(waits, Duration::from_secs_f64(seconds));
    }
}

fn withstand(waits: Waits, duration: Duration) {
    let subject = Subject::named("shm");
    let endpoint = subject.endpoint_with(|settings| {
        (settings.limits.handshake, settings.limits.progress) = (PATIENCE, PATIENCE);
    });
    let socket = endpoint.uri().strip_prefix("shm:").unwrap().to_owned();
    let endpoint = ipcall::Endpoint::parse(&format!("{}?ring=4KiB", endpoint.uri()))
        .map(|small| small.with_settings(endpoint.settings().clone()))
        .unwrap();
    let ends: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let noted = Arc::clone(&ends);
    let server = Server::new().add_service(EchoServer::new(Same)).on_disconnect(move |_, error| {
        let text = error.to_string();
        let (_endpoint, text) = text.split_once(": ").unwrap();
        // Without what differs from one to the next.
        let kind = text.split([',', '[']).next().unwrap();
        let kind: String = kind.chars().filter(|c| !c.is_ascii_digit()).collect();
        *noted.lock().unwrap().entry(kind).or_default() += 1;
    });
    let serving = Serving::start(waits, server, &endpoint);
    let honest = EchoBlockingClient::connect(&endpoint).unwrap();
    let before = Holdings::now();
    let over = AtomicBool::new(false);
    let (calls, attacks) = thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut calls = 0_usize;
            while !over.load(Ordering::Relaxed) {
                let data = vec![calls as u8; calls % 5_000];
                assert_eq!(honest.echo(data.clone()).unwrap(), data);
                calls += 1;
            }
            calls
        });
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (begun, mut attacks) = (Instant::now(), 0);
        while begun.elapsed() < duration {
            // It may have to wait for those before to be let go.
            let Some(mut scribbler) = Scribbler::connect(Path::new(&socket), &mut random) else {
                thread::sleep(Duration::from_millis(1));
                continue;
            };
            scribbler.scribble(&mut random);
            attacks += 1;
        }
        over.store(true, Ordering::Relaxed);
        (calling.join().unwrap(), attacks)
    });
    println!("{waits:?}: {attacks} attacks, {calls} honest calls");
    for (how, count) in &*ends.lock().unwrap() {
        println!("  {count:>6}  {how}");
    }
    assert!(attacks > 10 && calls > 10);
    assert!(ends.lock().unwrap().keys().any(|how| how.contains("the shared ring's")));
    until(|| Holdings::now() == before);
    assert_eq!(honest.echo(vec![1]).unwrap(), [1]);
    drop(serving);
}

/// What a scribbler can do is no more than what its kernel lets it: this one has the wrong descriptors.
#[test]
fn a_client_without_bells_is_let_go() {
    let _turn = turn();
    let _watchdog = Watchdog::new("no bells".to_owned());
    let subject = Subject::named("shm");
    let endpoint = subject.endpoint();
    let server = Server::new().add_service(EchoServer::new(Same));
    let _serving = Serving::start(Waits::Threads, server, &endpoint);
    let socket = endpoint.uri().strip_prefix("shm:").unwrap();
    let wrong = UnixStream::connect(socket).unwrap();
    let null = File::open("/dev/null").unwrap();
    let descriptors = [null.as_raw_fd(), null.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&descriptors)];
    let bytes = [IoSlice::new(MAGIC)];
    sendmsg::<()>(wrong.as_raw_fd(), &bytes, &message, MsgFlags::MSG_NOSIGNAL, None).unwrap();
    let mut answer = [0; WELCOME];
    // It may be told its rings, but never a word more.
    let _ = io::Read::read(&mut &wrong, &mut answer);
    assert_eq!(io::Read::read(&mut &wrong, &mut answer).unwrap_or(0), 0);
    let client = EchoBlockingClient::connect(&endpoint).unwrap();
    assert_eq!(client.echo(vec![1]).unwrap(), [1]);
}
