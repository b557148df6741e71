//! A thread that sleeps in a semaphore, because nothing else can: it turns what is rung there into readiness of
//! the descriptors that others sleep on. It waits for nothing else, and ends with its owner.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::SigSet;

use crate::sys::{Semaphores, ThisProcess};

/// The stack of the thread: it calls nothing deep.
const STACK: usize = 128 << 10;

/// How often the thread is told that it is to end, and for how long each time it is waited for. Once is enough
/// unless somebody takes what is rung for others.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// What is told that it was rung for.
pub(super) trait Ear: Send + Sync + 'static {
    fn hear(&self);

    /// The semaphores are gone, or cannot be used any more.
    fn lose(&self, error: &io::Error);
}

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Helper {
    semaphores: Semaphores,
    index: u16,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
    process: ThisProcess,
}

#[derive(Debug, Default)]
struct State {
    ending: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Helper {
    /// Tells `ear` each time that this semaphore is raised.
    ///
    /// # Errors
    /// When no thread is to be had.
    pub(super) fn start(
        semaphores: Semaphores,
        index: u16,
        ear: Arc<impl Ear>,
    ) -> io::Result<Self> {
        let process = ThisProcess::current()?;
        let state = Arc::new(State::default());
        let theirs = Arc::clone(&state);
        let run = move || {
            // Signals are for threads that the program knows of.
            let _ = SigSet::all().thread_block();
            theirs.listen(semaphores, index, &*ear);
            // What it holds goes before its end is known.
            drop(ear);
            *theirs.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
            theirs.changed.notify_all();
        };
        let builder = thread::Builder::new().name("ipcall-sysv-shm".to_owned()).stack_size(STACK);
        let thread = Some(builder.spawn(run)?);
        Ok(Self { semaphores, index, state, thread, process })
    }
}

impl State {
    fn listen(&self, semaphores: Semaphores, index: u16, ear: &impl Ear) {
        loop {
            let rung = semaphores.take(index);
            if self.ending.load(Ordering::Acquire) {
                return;
            }
            match rung {
                Ok(()) => ear.hear(),
                Err(error) => return ear.lose(&error),
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !self.process.is_current() {
            // A forked child has no such thread.
            std::mem::forget(thread);
            return;
        }
        self.state.ending.store(true, Ordering::Release);
        let mut ended = self.state.ended.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            // If the semaphores are gone, it has noticed.
            let _ = self.semaphores.raise(self.index);
            let waited = self.state.changed.wait_timeout_while(ended, PAUSE, |ended| !*ended);
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
            if *ended {
                // It does not panic; if it did, it is not there any more, which is all that is wanted.
                let _ = thread.join();
                return;
            }
        }
        // It is left alone, and ends with the semaphores.
    }
}
