//! Children whose client has gone: they see the end of their pipe and have some time to end; those that do
//! not are told to, and then killed. One thread waits for all of them, and ends with the last.
//!
//! It is one of the few threads of a transport, and the only thing here that waits: whoever drops a client must
//! not, and a child that nobody waits for stays in the process table. Only children that were handed to
//! it are waited for, by their descriptors.
//!
//! A process that ends takes this thread with it. What it has dropped just before then sees the end of its
//! pipe and nothing more; [`await_launched`] is for that.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;

use super::child::ended;

/// How long a child may take to end when its pipe has, and then again when it was told to.
const GRACE: Duration = Duration::from_secs(2);

static REAPER: Mutex<Reaper> = Mutex::new(Reaper { bell: None, arrivals: Vec::new() });
/// Signalled when the last child has been reaped.
static IDLE: Condvar = Condvar::new();

struct Reaper {
    /// Wakes the thread; it is there as long as the thread is.
    bell: Option<Arc<EventFd>>,
    arrivals: Vec<Orphan>,
}

/// A child that should end.
struct Orphan {
    pidfd: OwnedFd,
    step: Step,
    /// When it will have had time enough for this step.
    until: Instant,
}

/// What it was told last.
#[derive(Clone, Copy)]
enum Step {
    PipeClosed,
    Terminated,
    Killed,
}

/// Waits until every server that [`pipe:`](crate::schemes) clients of this process have started, and whose
/// client has been dropped, has ended; `false` if the time is over before.
///
/// To be called before the process ends, where a server may hang: it sees that its client is gone, has
/// 2 s to end, is terminated (SIGTERM), and after another 2 s killed; but only as long as this process
/// lives.
pub fn await_launched(patience: Duration) -> bool {
    let idle = IDLE.wait_timeout_while(lock(), patience, |reaper| reaper.bell.is_some());
    let (reaper, _) = idle.unwrap_or_else(PoisonError::into_inner);
    reaper.bell.is_none()
}

/// Takes care of a child whose pipes are closed.
pub(super) fn adopt(pidfd: OwnedFd) {
    let mut reaper = lock();
    reaper.arrivals.push(Orphan { pidfd, step: Step::PipeClosed, until: Instant::now() + GRACE });
    if let Some(bell) = &reaper.bell {
        // The count can be at its maximum; then it is ringing anyway.
        let _ = bell.write(1);
    } else if let Err(_without_thread) = reaper.start() {
        let arrivals = std::mem::take(&mut reaper.arrivals);
        drop(reaper);
        arrivals.into_iter().for_each(Orphan::end_at_once);
    }
}

fn lock() -> MutexGuard<'static, Reaper> {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reaper {
    fn start(&mut self) -> io::Result<()> {
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let heard = Arc::clone(&bell);
        thread::Builder::new().name("ipcall-reaper".to_owned()).spawn(move || reap(&heard))?;
        self.bell = Some(bell);
        Ok(())
    }
}

/// The thread.
fn reap(bell: &EventFd) {
    let mut orphans = Vec::new();
    loop {
        {
            let mut reaper = lock();
            orphans.append(&mut reaper.arrivals);
            if orphans.is_empty() {
                reaper.bell = None;
                IDLE.notify_all();
                return;
            }
        }
        sleep(bell, &orphans);
        let now = Instant::now();
        orphans.retain_mut(|orphan| {
            let lives = ended(orphan.pidfd.as_fd()).is_none();
            if lives && orphan.until <= now {
                orphan.press(now);
            }
            lives
        });
    }
}

/// Sleeps until one has ended, the time of one is over, or there is another.
fn sleep(bell: &EventFd, orphans: &[Orphan]) {
    let mut polled = vec![PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
    polled
        .extend(orphans.iter().map(|orphan| PollFd::new(orphan.pidfd.as_fd(), PollFlags::POLLIN)));
    let next = orphans.iter().map(|orphan| orphan.until).min();
    let left = next.map_or(GRACE, |until| until.saturating_duration_since(Instant::now()));
    // Rounded up: not to be early again and again.
    let millis = u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX);
    // A signal handler may have run here, which is as good as another reason to look.
    let _ = poll(&mut polled, PollTimeout::from(millis));
    // It may not be ringing.
    let _ = bell.read();
}

impl Orphan {
    /// Tells it more firmly.
    fn press(&mut self, now: Instant) {
        let (signal, step) = match self.step {
            Step::PipeClosed => (Signal::SIGTERM, Step::Terminated),
            Step::Terminated | Step::Killed => (Signal::SIGKILL, Step::Killed),
        };
        // It may have ended just now, or be another user's by now; then all that is left is to wait.
        let _ = ipcall_signals::doorbell::send(self.pidfd.as_fd(), signal as i32);
        (self.step, self.until) = (step, now + GRACE);
    }

    /// Without the thread: kills it, which it cannot put off, and reaps it.
    fn end_at_once(self) {
        let _ = ipcall_signals::doorbell::send(self.pidfd.as_fd(), Signal::SIGKILL as i32);
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, PollTimeout::from(1000_u16));
        ended(self.pidfd.as_fd());
    }
}
