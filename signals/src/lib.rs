//! The signals that ipcall sends: one ends a system call that another thread is inside of, another
//! [tells a server](doorbell) to look at its cancellations.
//!
//! A thread [enters](enter) before the call and leaves after it; meanwhile others may
//! [interrupt](Section::interrupt) it by a signal that goes to this thread alone. The signal's handler does
//! nothing and is installed without `SA_RESTART`, so the call returns `EINTR` (`signal(7)`, which lists the
//! calls for which that holds). One that falls between the thread's last look and the call is lost: who
//! interrupts does so again until the thread has left.
//!
//! A handler that the process had for the signal before goes on being called. A forked child has the handler
//! and no section; a new process image has neither, and no thread of it is ever signalled, as threads do not
//! outlive `exec`.

#![deny(unsafe_code)]

pub mod doorbell;
mod sys;

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Behind the first real-time signal: unlikely to be taken by a library (glibc itself has those before the
/// first).
const OFFSET: i32 = 5;

/// What [`use_signal`] has chosen, or 0.
static CHOSEN: AtomicI32 = AtomicI32::new(0);

/// Uses this signal instead of `SIGRTMIN + 5`, which another part of the program needs. To be called before
/// the first section is entered.
///
/// # Errors
/// `InvalidInput` when it is no real-time signal, `AlreadyExists` when another is in use.
pub fn use_signal(number: i32) -> io::Result<()> {
    if !(sys::first_realtime()..=sys::last_realtime()).contains(&number) {
        let (first, last) = (sys::first_realtime(), sys::last_realtime());
        let reason =
            format!("signal {number} is no real-time signal: they go from {first} to {last}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    CHOSEN.store(number, Ordering::Relaxed);
    match installed() {
        Ok(used) if used == number => Ok(()),
        Ok(used) => {
            let reason = format!("signal {used} is in use for interrupting already");
            Err(io::Error::new(io::ErrorKind::AlreadyExists, reason))
        }
        Err(error) => Err(error),
    }
}

/// The signal, with its handler in place.
fn installed() -> io::Result<i32> {
    static INSTALLED: OnceLock<Result<i32, i32>> = OnceLock::new();
    let result = INSTALLED.get_or_init(|| {
        let number = chosen();
        let installed = sys::install(number).map(|()| number);
        installed.map_err(|error| error.raw_os_error().unwrap_or_default())
    });
    (*result).map_err(io::Error::from_raw_os_error)
}

/// The signal that is, or will be, installed.
fn chosen() -> i32 {
    match CHOSEN.load(Ordering::Relaxed) {
        0 => sys::first_realtime() + OFFSET,
        chosen => chosen,
    }
}

thread_local! {
    /// Whether this thread has been seen to let the signal through.
    static RECEPTIVE: Cell<bool> = const { Cell::new(false) };
}

/// A part of a thread's work in which it may be interrupted.
#[derive(Debug)]
pub struct Section {
    thread: i32,
    signal: i32,
    /// Held while a signal is sent, so that the thread is there and has not left.
    left: Mutex<bool>,
}

impl Section {
    /// Sends the signal, unless the thread has left. Whether it has not, so that this is to be done again.
    pub fn interrupt(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if !*left {
            // It cannot fail while the thread is there; were it to, a further one is sent anyway.
            let _ = sys::signal_thread(self.thread, self.signal);
        }
        !*left
    }
}

/// Leaves the section when it is dropped, by the thread that has entered it.
#[derive(Debug)]
pub struct Inside {
    section: Arc<Section>,
    /// Not `Send`.
    _here: PhantomData<*const ()>,
}

impl Inside {
    /// For those who may interrupt.
    pub fn section(&self) -> &Arc<Section> {
        &self.section
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        *self.section.left.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// Enters a section. A thread that blocks the signal does so no longer, from now on.
///
/// # Errors
/// When the handler cannot be installed, which no system refuses (`sigaction(2)`).
pub fn enter() -> io::Result<Inside> {
    let signal = installed()?;
    if !RECEPTIVE.get() {
        sys::unblock(signal)?;
        RECEPTIVE.set(true);
    }
    let section = Section { thread: sys::this_thread(), signal, left: Mutex::new(false) };
    Ok(Inside { section: Arc::new(section), _here: PhantomData })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_sleeping_thread_is_interrupted_and_one_that_has_left_is_not() {
        let (sender, receiver) = mpsc::channel();
        let sleeper = thread::spawn(move || {
            let inside = enter().unwrap();
            sender.send(Arc::clone(inside.section())).unwrap();
            let since = Instant::now();
            let slept = sys::sleep_once(Duration::from_secs(10));
            drop(inside);
            (slept, since.elapsed())
        });
        let section = receiver.recv().unwrap();
        while section.interrupt() {
            thread::sleep(Duration::from_millis(1));
        }
        let (slept, time) = sleeper.join().unwrap();
        assert_eq!(slept.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(time < Duration::from_secs(5), "{time:?}");
        assert!(!section.interrupt());
    }

    #[test]
    fn a_thread_that_had_it_blocked_is_interrupted_too() {
        let (sender, receiver) = mpsc::channel();
        let sleeper = thread::spawn(move || {
            sys::block_all().unwrap();
            let inside = enter().unwrap();
            sender.send(Arc::clone(inside.section())).unwrap();
            sys::sleep_once(Duration::from_secs(10))
        });
        let section = receiver.recv().unwrap();
        while section.interrupt() {
            thread::sleep(Duration::from_millis(1));
        }
        let slept = sleeper.join().unwrap();
        assert_eq!(slept.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn what_is_no_real_time_signal_is_refused() {
        let error = use_signal(9).unwrap_err();
        assert!(error.to_string().starts_with("signal 9 is no real-time signal: "), "{error}");
    }
}
