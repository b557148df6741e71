//! A thread that repeats what one signal may miss: it is there only while there is somebody to interrupt.

use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ipcall_signals::Section;

/// Between two signals to one thread: at first, and when that has not helped for a while.
const SOON: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(20);

/// Signals that are sent in quick succession.
const QUICK: u32 = 20;

/// Those who are being interrupted.
struct Interrupted {
    sections: Vec<Arc<Section>>,
    /// Rounds since the last one came.
    rounds: u32,
    /// The process in which the thread is there: a forked child has none.
    runs: Option<u32>,
}

static INTERRUPTED: Mutex<Interrupted> =
    Mutex::new(Interrupted { sections: Vec::new(), rounds: 0, runs: None });

fn lock() -> MutexGuard<'static, Interrupted> {
    INTERRUPTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Interrupts these threads until they have left what they are in.
pub(super) fn interrupt(mut sections: Vec<Arc<Section>>) {
    sections.retain(|section| section.interrupt());
    let mut interrupted = lock();
    interrupted.sections.append(&mut sections);
    interrupted.rounds = 0;
    let runs = interrupted.runs == Some(process::id());
    if runs || interrupted.sections.is_empty() {
        return;
    }
    let name = "ipcall-interrupt".to_owned();
    // Without a thread they have had one signal, and get the next when somebody else is cancelled.
    let started = thread::Builder::new().name(name).spawn(repeat);
    interrupted.runs = started.is_ok().then(process::id);
}

fn repeat() {
    let mut pause = SOON;
    loop {
        thread::sleep(pause);
        let mut interrupted = lock();
        interrupted.sections.retain(|section| section.interrupt());
        if interrupted.sections.is_empty() {
            interrupted.runs = None;
            return;
        }
        interrupted.rounds = interrupted.rounds.saturating_add(1);
        pause = if interrupted.rounds < QUICK { SOON } else { LATE };
    }
}
