//! The bells of clients that keep what they gave away, and use it; and those of another user.

use std::fs::{File, OpenOptions, Permissions, set_permissions};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread;

use ipcall::Endpoint;
use ipcall::transport::{Connector, Transport};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{geteuid, pipe2};

use crate::support::random::Random;
use crate::support::{Subject, Watchdog};
use crate::turn;

/// What a client has of its two bells.
pub(crate) struct Bells {
    /// What rings at the server, without blocking the client.
    pub(crate) rings: Vec<File>,
    /// What else it has kept.
    _kept: Vec<OwnedFd>,
}

impl Bells {
    /// Some bells, and the descriptors that the server gets.
    pub(crate) fn make(random: &mut Random) -> (Self, Vec<OwnedFd>) {
        match random.below(7) {
            0 | 1 => sockets(),
            2 | 3 => pipes(),
            4 => blocking_pipes(),
            5 => early_ends(),
            _ => no_pipes(random),
        }
    }
}

fn sockets() -> (Bells, Vec<OwnedFd>) {
    let [one, other] = [(); 2].map(|()| UnixStream::pair().unwrap());
    one.0.set_nonblocking(true).unwrap();
    other.0.set_nonblocking(true).unwrap();
    let rings = [one.0, other.0].map(|end| File::from(OwnedFd::from(end)));
    let bells = Bells { rings: rings.into(), _kept: Vec::new() };
    (bells, vec![one.1.into(), other.1.into()])
}

/// As an honest client makes them.
fn pipes() -> (Bells, Vec<OwnedFd>) {
    let (mut rings, mut kept, mut offer) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..2 {
        let (hears, their_rings) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
        let (their_hears, ring) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
        rings.push(File::from(ring));
        kept.push(hears);
        offer.extend([their_hears, their_rings]);
    }
    (Bells { rings, _kept: kept }, offer)
}

/// With what the server got open in blocking mode here as well, what it rings full, and what it hears empty.
fn blocking_pipes() -> (Bells, Vec<OwnedFd>) {
    let (mut bells, offer) = pipes();
    for end in &offer {
        let kept = end.try_clone().unwrap();
        let mut end = File::from(end.try_clone().unwrap());
        while end.write(&[1; 512]).is_ok() {}
        fcntl(&kept, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        bells._kept.push(kept);
    }
    (bells, offer)
}

/// Whoever hears and rings has gone already.
fn early_ends() -> (Bells, Vec<OwnedFd>) {
    let (mut bells, offer) = pipes();
    bells._kept.clear();
    bells.rings.truncate(1);
    (bells, offer)
}

/// Files, directories, or too few of anything.
fn no_pipes(random: &mut Random) -> (Bells, Vec<OwnedFd>) {
    let path = ["/dev/null", "/dev/zero", "/", "/proc/self/stat"][random.below(4) as usize];
    let file = || OpenOptions::new().read(true).open(path).unwrap().into();
    let offer = (0..=random.below(4)).map(|_| file()).collect();
    (Bells { rings: Vec::new(), _kept: Vec::new() }, offer)
}

const SOMEBODY_ELSE: u32 = 65_534;

/// What a half sleeps on: `pipe`, or `socket`.
fn kind(half: &(impl AsFd + ?Sized)) -> String {
    let path = format!("/proc/self/fd/{}", half.as_fd().as_raw_fd());
    let name = std::fs::read_link(path).unwrap().to_string_lossy().into_owned();
    name.split(':').next().unwrap().to_owned()
}

/// Connects as another user, in a thread that is one from then on.
fn connect_as_somebody_else(endpoint: &Endpoint) -> Transport {
    let connect = || {
        let unchanged = -1;
        // SAFETY: it changes the ids of this thread alone, which ends soon, and touches no memory.
        let changed =
            unsafe { libc::syscall(libc::SYS_setresuid, unchanged, SOMEBODY_ELSE, unchanged) };
        assert_eq!(changed, 0, "{}", io::Error::last_os_error());
        endpoint.try_connect().unwrap()
    };
    thread::scope(|scope| scope.spawn(connect).join().unwrap())
}

fn pass(from: &mut Transport, to: &mut Transport) {
    from.writer.try_write(&[IoSlice::new(b"hello")]).unwrap();
    let mut buffer = Vec::with_capacity(64);
    assert_eq!(to.reader.try_read(&mut buffer, 64).unwrap(), 5);
}

#[test]
fn only_clients_of_the_same_user_have_pipes() {
    let _turn = turn();
    let _watchdog = Watchdog::new("bells of two users".to_owned());
    let subject = Subject::named("shm");
    set_permissions(subject.directory(), Permissions::from_mode(0o711)).unwrap();
    let uri = format!("shm:{}/others/rings", subject.directory().display());
    let mut endpoint = Endpoint::parse(&uri).unwrap();
    endpoint.settings_mut().allow_uids = vec![SOMEBODY_ELSE];
    let (mut listener, endpoint) = endpoint.bind_resolved().unwrap();
    let mut expected = vec![("pipe", endpoint.try_connect().unwrap())];
    // Who is not root cannot be another.
    if geteuid().is_root() {
        expected.push(("socket", connect_as_somebody_else(&endpoint)));
    }
    for (bells, mut client) in expected {
        let mut server = listener.try_accept().unwrap();
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
        for side in [&client, &server] {
            assert_eq!((kind(&side.reader), kind(&side.writer)), (bells.into(), bells.into()));
        }
    }
}
