//! Who sleeps on files: `inotify(7)`, one instance for the whole process, and a thread that rings for
//! those whom an event concerns.
//!
//! Why not an instance for each half, which could be slept on directly:
//!
//! - A user has 128 (`fs.inotify.max_user_instances`), which 32 connections within one machine would use
//!   up, and which all other programs of that user need as well. This way a process takes one, and
//!   connections are limited by watches alone (`fs.inotify.max_user_watches`, thousands).
//! - Closing one that has watches takes 5 to 15 ms (measured on Linux 6.18; it waits for a grace period of
//!   SRCU), and removing a watch 2 us.
//!
//! Each half has an eventfd as its bell, rung only while it sleeps. The price is one more wake-up before
//! each one of a sleeper.
//!
//! Events are told by whoever reads them, the thread or a half that is about to sleep, always under one lock:
//! so a half that has read what there is knows of everything that happened before, and its bell is not rung
//! for that afterwards.
//!
//! The thread ends with the last one that watches, and the instance with it.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use nix::sys::signal::SigSet;

use super::limits;
use crate::sys::ThisProcess;

static CURRENT: Mutex<Weak<Watcher>> = Mutex::new(Weak::new());

/// Watches for this as well, if the file is watched already; nix does not name it.
const MASK_ADD: AddWatchFlags = AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);

/// Reads after which a queue was read that was full (`fs.inotify.max_queued_events`: 16,384 events).
const READS: usize = 64;

/// The process's one instance, with its thread.
struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    process: ThisProcess,
}

struct Shared {
    inotify: Inotify,
    stop: EventFd,
    watched: Mutex<Watched>,
}

/// Whom the events of a watch concern.
type Watched = HashMap<WatchDescriptor, Vec<Concern>>;

struct Concern {
    bell: Arc<Bell>,
    mask: AddWatchFlags,
}

/// What somebody sleeps on.
struct Bell {
    descriptor: EventFd,
    /// Whether it is to be rung.
    asleep: AtomicBool,
    /// Whether the descriptor is readable.
    rung: AtomicBool,
    /// Whether something else has happened than that a file was written to.
    news: AtomicBool,
}

/// Somebody who watches files, and sleeps until something happens to them.
pub(super) struct Watch {
    watcher: Arc<Watcher>,
    bell: Arc<Bell>,
    places: Vec<WatchDescriptor>,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When a limit on instances, descriptors or threads is reached.
    pub(super) fn new() -> io::Result<Self> {
        let watcher = Watcher::current()?;
        let bell = Arc::new(Bell::new()?);
        Ok(Self { watcher, bell, places: Vec::new() })
    }

    /// Watches one file or directory more, for as long as this lives. The descriptor may be closed.
    ///
    /// # Errors
    /// When the limit on watches is reached.
    pub(super) fn add(
        &mut self,
        file: impl AsFd,
        mask: AddWatchFlags,
    ) -> io::Result<WatchDescriptor> {
        // By its descriptor, because a name may lead elsewhere by now.
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        let mut watched = self.watcher.shared.lock();
        let inotify = &self.watcher.shared.inotify;
        // Others may watch it, too.
        let place =
            inotify.add_watch(path.as_str(), mask | MASK_ADD).map_err(limits::explain_watch)?;
        watched.entry(place).or_default().push(Concern { bell: Arc::clone(&self.bell), mask });
        self.places.push(place);
        Ok(place)
    }

    /// Watches one less.
    pub(super) fn remove(&mut self, place: WatchDescriptor) {
        self.places.retain(|other| *other != place);
        if self.watcher.process.is_current() {
            self.watcher.shared.forget(&mut self.watcher.shared.lock(), place, &self.bell);
        }
    }

    /// Tells everybody what has happened up to now, and from now on has the bell rung when something does.
    pub(super) fn fall_asleep(&self) {
        let shared = &self.watcher.shared;
        let watched = shared.lock();
        shared.tell_all(&watched);
        if self.bell.rung.swap(false, Ordering::Relaxed) {
            // It may not be readable any more.
            let _ = self.bell.descriptor.read();
        }
        self.bell.asleep.store(true, Ordering::Relaxed);
    }

    /// No bell is needed.
    pub(super) fn wake_up(&self) {
        self.bell.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether something has happened, since this was last asked, other than that a file was written to.
    pub(super) fn take_news(&self) -> bool {
        self.bell.news.load(Ordering::Acquire) && self.bell.news.swap(false, Ordering::Acquire)
    }

    /// Has that be asked again.
    pub(super) fn remind(&self) {
        self.bell.news.store(true, Ordering::Release);
    }

    /// Makes the descriptor readable until the next [`fall_asleep`](Self::fall_asleep).
    pub(super) fn ring(&self) {
        let _watched = self.watcher.shared.lock();
        self.bell.ring();
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.descriptor.as_fd()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // In a forked child, the watches are its parent's.
        if self.watcher.process.is_current() {
            let mut watched = self.watcher.shared.lock();
            for place in std::mem::take(&mut self.places) {
                self.watcher.shared.forget(&mut watched, place, &self.bell);
            }
        }
    }
}

impl Bell {
    fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            descriptor: EventFd::from_flags(flags)?,
            asleep: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            news: AtomicBool::new(false),
        })
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Relaxed);
        // The count can be at its maximum; then it is ringing anyway.
        let _ = self.descriptor.write(1);
    }

    fn tell(&self, event: AddWatchFlags) {
        if !(event - AddWatchFlags::IN_MODIFY).is_empty() {
            self.news.store(true, Ordering::Release);
        }
        if self.asleep.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }
}

impl Watcher {
    /// The process's, which is made if nobody has one.
    fn current() -> io::Result<Arc<Self>> {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = current.upgrade() {
            if watcher.process.is_current() {
                return Ok(watcher);
            }
            // A forked child's copy: dropping it would wait for a thread that is not there.
            std::mem::forget(watcher);
        }
        let watcher = Arc::new(Self::start()?);
        *current = Arc::downgrade(&watcher);
        Ok(watcher)
    }

    fn start() -> io::Result<Self> {
        let process = ThisProcess::current()?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(limits::explain_instance)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let shared = Arc::new(Shared { inotify, stop, watched: Mutex::default() });
        let its_own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("ipcall-watcher".to_owned())
            .spawn(move || its_own.ring_until_stopped())?;
        Ok(Self { shared, thread: Some(thread), process })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.process.is_current()
            && let Some(thread) = self.thread.take()
        {
            let _ = self.shared.stop.write(1);
            // It has nothing to wait for but the lock.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The thread.
    fn ring_until_stopped(&self) {
        // Whoever handles signals does so in a thread of his own.
        let _ = SigSet::all().thread_block();
        loop {
            let mut polled = [
                PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                // Of memory, which may be there the next time.
                Err(_) => thread::yield_now(),
            }
            if polled[1].any() == Some(true) {
                return;
            }
            self.tell_all(&self.lock());
        }
    }

    /// Whoever panicked with the lock left a whole map behind.
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all events that there are, and tells those whom they concern.
    fn tell_all(&self, watched: &Watched) {
        // Not for ever: a peer can make events as fast as they are read.
        for _ in 0..READS {
            match self.inotify.read_events() {
                Ok(events) => events.iter().for_each(|event| tell(watched, event)),
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    fn forget(&self, watched: &mut Watched, place: WatchDescriptor, bell: &Arc<Bell>) {
        let Some(concerns) = watched.get_mut(&place) else { return };
        concerns.retain(|concern| !Arc::ptr_eq(&concern.bell, bell));
        if concerns.is_empty() {
            watched.remove(&place);
            // The kernel has removed it itself if the file is gone.
            let _ = self.inotify.rm_watch(place);
        }
    }
}

fn tell(watched: &Watched, event: &InotifyEvent) {
    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        // More has happened than the kernel remembers.
        return watched.values().flatten().for_each(|concern| concern.bell.tell(event.mask));
    }
    for concern in watched.get(&event.wd).into_iter().flatten() {
        if concern.mask.intersects(event.mask) {
            concern.bell.tell(event.mask);
        }
    }
}

#[cfg(test)]
#[path = "watcher_tests.rs"]
mod tests;
