//! The bells of clients that keep what they gave away, and use it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::support::random::Random;

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
