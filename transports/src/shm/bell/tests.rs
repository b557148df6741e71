//! Bells of pipes, rung by an honest peer and by others.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// Nothing takes that long but to block.
const WATCHDOG: Duration = Duration::from_secs(20);

fn peer(uid: u32) -> Peer {
    let mut peer = Peer::default();
    peer.uid = Some(uid);
    peer
}

fn myself() -> Peer {
    peer(geteuid().as_raw())
}

/// The reader's end on the side that made the bells, and the writer's on the other.
fn one_direction() -> (End, End) {
    let (reader, _, offer) = make(&myself()).unwrap();
    let (_, writer) = accept(offer, &myself()).unwrap();
    (reader, writer)
}

fn on_edges(bell: &End) -> Epoll {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    epoll.add(bell, EpollEvent::new(events, 0)).unwrap();
    epoll
}

fn edge(epoll: &Epoll) -> Option<EpollFlags> {
    let mut events = [EpollEvent::empty()];
    let count = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap();
    (count > 0).then(|| events[0].events())
}

/// Runs what should not block.
fn promptly(what: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        what();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(WATCHDOG).unwrap();
}

#[test]
fn each_ring_is_an_edge_as_long_as_it_need_not_be_heard() {
    let (here, there) = one_direction();
    for (hears, rings) in [(&here, &there), (&there, &here)] {
        let epoll = on_edges(hears);
        for _ in 0..3 {
            assert_eq!(edge(&epoll), None);
            // Twice as often as an honest peer rings, and no bell in vain.
            for _ in 0..2 * hears.holds().max(1) {
                rings.ring().unwrap();
                assert_eq!(edge(&epoll), Some(EpollFlags::EPOLLIN));
                assert_eq!(edge(&epoll), None);
            }
            assert_eq!(hears.hear().unwrap(), Said::Nothing);
            let mut polled = [PollFd::new(hears.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut polled, PollTimeout::ZERO).unwrap(), 0, "it was heard");
        }
    }
}

#[test]
fn the_end_of_a_full_bell_is_an_edge() {
    let (hears, rings) = one_direction();
    let epoll = on_edges(&hears);
    for _ in 0..100_000 {
        rings.ring().unwrap();
    }
    assert!(edge(&epoll).is_some());
    drop(rings);
    assert!(edge(&epoll).unwrap().contains(EpollFlags::EPOLLHUP));
    let heard = (0..1000).filter(|_| hears.hear().unwrap() == Said::Nothing).count();
    assert!((1..100).contains(&heard), "{heard}");
}

#[test]
fn whoever_keeps_what_it_gave_away_blocks_nobody() {
    let (_reader, _writer, offer) = make(&myself()).unwrap();
    let kept: Vec<File> = offer.iter().map(|end| end.try_clone().unwrap().into()).collect();
    for mut end in &kept {
        // What is rung is full, and what is heard is empty.
        while end.write(&[1; 512]).is_ok() {}
        fcntl(end, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    }
    let (reader, writer) = accept(offer, &myself()).unwrap();
    promptly(move || {
        for bell in [reader, writer] {
            bell.ring().unwrap();
            assert_eq!(bell.hear().unwrap(), Said::Nothing);
        }
    });
}

#[test]
fn what_is_no_pipe_is_not_opened() {
    let path = std::env::temp_dir().join(format!("ipcall-bell-{}", std::process::id()));
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let fifo = File::options().read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    let null = File::open("/dev/null").unwrap();
    for wrong in [OwnedFd::from(fifo), socket.into(), null.into()] {
        for place in 0..4 {
            let (_reader, _writer, mut offer) = make(&myself()).unwrap();
            offer[place] = wrong.try_clone().unwrap();
            let error = accept(offer, &myself()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("is no pipe"), "{error}");
        }
    }
}

#[test]
fn other_users_have_sockets() {
    let other = peer(geteuid().as_raw() + 1);
    let (_reader, _writer, offer) = make(&myself()).unwrap();
    let error = accept(offer, &other).unwrap_err();
    assert!(error.to_string().contains("another user"), "{error}");
    for unknown in [other, Peer::default()] {
        let (reader, writer, offer) = make(&unknown).unwrap();
        let (their_reader, their_writer) = accept(offer, &unknown).unwrap();
        for (rings, hears) in [(reader, their_writer), (writer, their_reader)] {
            assert!(matches!((&rings, &hears), (End::Socket(_), End::Socket(_))));
            rings.ring().unwrap();
            assert_eq!(hears.hear().unwrap(), Said::Nothing);
            drop(rings);
            assert_eq!(hears.hear().unwrap(), Said::Gone);
        }
    }
}

#[test]
fn any_other_number_of_descriptors_is_an_error() {
    for count in [0, 1, 3] {
        let (_reader, _writer, mut offer) = make(&myself()).unwrap();
        offer.truncate(count);
        assert_eq!(accept(offer, &myself()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

/// Whether this thread has been sent `SIGPIPE`, which it has blocked.
fn has_sigpipe() -> bool {
    let mut sigpipe = SigSet::empty();
    sigpipe.add(Signal::SIGPIPE);
    sigpipe.thread_block().unwrap();
    let sent = SignalFd::with_flags(&sigpipe, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    sent.unwrap().read_signal().unwrap().is_some()
}

#[test]
fn ringing_at_nobody_raises_no_signal() {
    promptly(|| {
        assert!(!has_sigpipe());
        for maker_dies in [true, false] {
            let (here, there) = one_direction();
            let (alive, dead) = if maker_dies { (there, here) } else { (here, there) };
            drop(dead);
            alive.ring().unwrap();
            assert!(!has_sigpipe());
            assert_eq!(alive.hear().unwrap(), Said::Gone);
        }
        // A signal would have been noticed.
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        writer.write_all(b"x").unwrap_err();
        assert!(has_sigpipe());
    });
}
