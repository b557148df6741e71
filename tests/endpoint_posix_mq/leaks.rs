//! Clients killed at any moment of their connecting: no queue is left, and every queue is looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ipcall::Endpoint;
use ipcall::transport::{Binder, Connector};
use nix::mount::{MsFlags, mount, umount};
use nix::mqueue::{MQ_OFlag, MqAttr, mq_close, mq_open, mq_unlink};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;

use crate::support::role::{Control, Process};
use crate::support::scratch::Scratch;
use crate::{begin, endpoint, run};

const ROUNDS: u32 = 50;

#[test]
fn no_queue_of_a_client_killed_while_it_connects_is_left() {
    let _held = begin("leaks");
    run("leaks", "");
}

/// A directory in which all queues show that this process and its children make from now on.
struct Queues(PathBuf);

impl Queues {
    /// `None` if this process may not arrange that.
    fn own(directory: &Path) -> Option<Self> {
        unshare(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNS).ok()?;
        let nothing = None::<&Path>;
        // What is mounted here is not to be seen outside.
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let path = directory.join("all");
        fs::create_dir(&path).unwrap();
        mount(Some("mqueue"), &path, Some("mqueue"), MsFlags::empty(), nothing).unwrap();
        Some(Self(path))
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        umount(&self.0).unwrap();
        fs::remove_dir(&self.0).unwrap();
    }
}

pub(crate) fn kill_connecting_clients() {
    let scratch = Scratch::new();
    let Some(queues) = Queues::own(scratch.path()) else { return };
    the_detector_detects(&queues);
    let at = endpoint(&scratch.path().join("server/queue"));
    for round in 0..ROUNDS {
        let mut listener = at.bind().unwrap().listener;
        let mut client = Process::start("connecting", at.uri());
        assert_eq!(client.hear(), "ready");
        client.say("go");
        // A different moment each time, and not all clients are accepted.
        let end = Instant::now() + Duration::from_micros((round * 37).into());
        while Instant::now() < end {
            if round % 3 > 0 {
                let _ = listener.try_accept();
            }
        }
        client.kill();
        if round % 2 == 0 {
            // The next one in its slot.
            drop(at.try_connect().unwrap());
            assert!(queues.count() <= 3, "the rendezvous, and a pair whose client rang in vain");
        }
        drop(listener);
        assert_eq!(queues.count(), 0, "round {round}");
    }
}

fn the_detector_detects(queues: &Queues) {
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDONLY | MQ_OFlag::O_CLOEXEC;
    let attributes = MqAttr::new(0, 1, 24, 0);
    let planted = mq_open("/ipcall-planted", flags, Mode::S_IRWXU, Some(&attributes)).unwrap();
    mq_close(planted).unwrap();
    assert_eq!(queues.count(), 1);
    mq_unlink("/ipcall-planted").unwrap();
    assert_eq!(queues.count(), 0);
}

/// Connects again and again, until it is killed.
pub(crate) fn connect_for_ever(about: &str, mut control: Control) {
    let at = Endpoint::parse(about).unwrap();
    control.say("ready");
    control.hear();
    loop {
        drop(at.try_connect());
    }
}
