//! The thread that reads for those whose own threads are busy.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Watched;
use crate::cancel::CancelCause;
use crate::wait::thread::{ThreadSource, any};

/// How long a handler may take without being watched.
const TICK: Duration = Duration::from_millis(5);

/// How long it does not look again for being rung, so that it costs little to be rung without end.
const REST: Duration = Duration::from_millis(1);

/// How long the thread stays without anything to watch.
const LINGER: Duration = Duration::from_secs(1);

/// What the watching thread and the others share.
pub(super) struct Watch {
    /// Those that it does not know yet.
    new: Mutex<New>,
    bell: OnceLock<EventFd>,
    /// Whether clients want it to look at once.
    rung: AtomicBool,
}

struct New {
    watched: Vec<Arc<Watched>>,
    /// The process in which the thread is there: a forked child has none.
    runs: Option<u32>,
}

impl Watch {
    pub(super) fn get() -> &'static Self {
        static WATCH: Watch = Watch {
            new: Mutex::new(New { watched: Vec::new(), runs: None }),
            bell: OnceLock::new(),
            rung: AtomicBool::new(false),
        };
        &WATCH
    }

    pub(super) fn add(watched: Arc<Watched>) {
        let watch = Self::get();
        let mut new = watch.new.lock().unwrap_or_else(PoisonError::into_inner);
        new.watched.push(watched);
        if new.runs == Some(process::id()) {
            drop(new);
            watch.ring();
            return;
        }
        let name = "ipcall-watch".to_owned();
        // Without a thread a handler is told when it asks for its deadline, and of nothing else; the next one tries again.
        let started = thread::Builder::new().name(name).spawn(|| watch.run());
        new.runs = started.is_ok().then(process::id);
        if new.runs.is_none() {
            for watched in new.watched.drain(..) {
                watched.state().known = false;
            }
        }
    }

    pub(super) fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            // Were it full, it would be ringing.
            let _ = bell.write(1);
        }
    }

    /// Has it look at all that is lent, without waiting for the next tick.
    pub(super) fn look_now(&self) {
        self.rung.store(true, Ordering::Release);
        self.ring();
    }

    /// The thread.
    fn run(&self) {
        if self.bell.get().is_none() {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            if let Ok(bell) = EventFd::from_flags(flags) {
                let _ = self.bell.set(bell);
            }
        }
        let mut places: Vec<Place> = Vec::new();
        let mut next_tick = Instant::now();
        let mut next_ring = next_tick;
        loop {
            {
                let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
                places.extend(new.watched.drain(..).map(Place::new));
            }
            let now = Instant::now();
            let tick = now >= next_tick;
            if tick {
                next_tick = now + TICK;
            }
            let rung = now >= next_ring && self.rung.swap(false, Ordering::AcqRel);
            if rung {
                next_ring = now + REST;
            }
            places.retain_mut(|place| place.look(now, tick, rung));
            let patience = if places.is_empty() {
                Some(LINGER)
            } else if places.iter().any(|place| !place.settled) {
                Some(next_tick.saturating_duration_since(now))
            } else {
                let deadline = places.iter().filter_map(|place| place.deadline).min();
                deadline.map(|deadline| deadline.saturating_duration_since(now))
            };
            let patience = match self.rung.load(Ordering::Acquire) {
                true => Some(next_ring.saturating_duration_since(now)),
                false => patience,
            };
            let slept = self.sleep(&places, patience);
            if places.is_empty() && slept {
                let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
                if new.watched.is_empty() {
                    new.runs = None;
                    return;
                }
            }
        }
    }

    /// Sleeps until there is something to do. Whether nothing has come in all that time.
    fn sleep(&self, places: &[Place], patience: Option<Duration>) -> bool {
        let Some(bell) = self.bell.get() else {
            thread::sleep(patience.unwrap_or(TICK).min(TICK));
            return true;
        };
        let sources = places.iter().filter_map(|place| place.descriptor.as_ref());
        let descriptors = std::iter::once(bell.as_fd()).chain(sources.map(AsFd::as_fd));
        let ready = any(descriptors, patience).unwrap_or_default();
        if ready.first() == Some(&0) {
            let _ = bell.read();
        }
        ready.is_empty()
    }
}

/// A connection that the watch knows.
struct Place {
    watched: Arc<Watched>,
    /// What the connection reads from, while the watch reads for it.
    descriptor: Option<OwnedFd>,
    /// The handlers that had run at the last tick.
    rounds: u64,
    /// Whether there is nothing to do before something happens, or the time of the call is over.
    settled: bool,
    deadline: Option<Instant>,
}

impl Place {
    fn new(watched: Arc<Watched>) -> Self {
        Self { watched, descriptor: None, rounds: 0, settled: false, deadline: None }
    }

    /// Does what there is to do; `false` if this is to be forgotten, because no handler has run for a while.
    /// What is lent is read from if it was already at the last tick, or if a client has `rung`.
    fn look(&mut self, now: Instant, tick: bool, rung: bool) -> bool {
        let state = &mut *self.watched.state();
        let lasts = state.rounds == self.rounds;
        if tick || rung {
            self.rounds = state.rounds;
        }
        if !lasts || state.lent.is_none() {
            (self.descriptor, self.settled, self.deadline) = (None, false, None);
        }
        let Some(lent) = &state.lent else {
            let idle = tick && lasts;
            state.known &= !idle;
            return !idle;
        };
        let is_late = lent.deadline.is_some_and(|deadline| deadline <= now);
        if is_late {
            lent.token.cancel_because(CancelCause::Deadline);
        }
        let own = lent.deadline.filter(|_| !is_late);
        // Whoever sees to those of calls with streams is busy.
        let others = lent.streaming.as_ref().and_then(|streaming| streaming.expire());
        self.deadline = own.into_iter().chain(others.map(|left| now + left)).min();
        if rung || (lasts && (tick || self.settled)) {
            let goes_on = state.read();
            self.descriptor = match &state.lent {
                Some(lent) if goes_on => {
                    self.descriptor.take().or_else(|| clone(&lent.source).ok())
                }
                _ => None,
            };
            // Without a descriptor it is read at each tick.
            self.settled = self.descriptor.is_some() || !goes_on;
            state.settled = self.settled;
        }
        true
    }
}

fn clone(source: &ThreadSource) -> io::Result<OwnedFd> {
    source.source.half.as_fd().try_clone_to_owned()
}
