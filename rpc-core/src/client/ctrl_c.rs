//! Ctrl-C: the first cancels the calls of the whole process, the second ends it.
//!
//! The signal's handler sets a flag and writes to a socket, which a thread of its own reads; that thread cancels, and
//! it alone. Handlers that are installed go on being called. Uses `sigaction(2)`, by signal-hook.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use signal_hook::consts::SIGINT;
use signal_hook::{flag, low_level};

/// Has Ctrl-C (SIGINT) cancel the calls of this process, instead of ending it. To be called once; further calls do
/// nothing.
///
/// The first Ctrl-C cancels every call that is in flight or waits for its turn, of every [`Client`](crate::Client) and
/// [`BlockingClient`](crate::BlockingClient), as their `cancel_all` does. They return
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) at once, and what is said then, and with which status the process
/// ends, is up to it: [`interrupted`] tells, and 130 is usual. Dropping a [`BlockingClient`](crate::BlockingClient) then
/// does not wait for a server that does not read.
///
/// The second Ctrl-C ends the process, as SIGINT does by default, however late it comes: also a program that takes no notice
/// of the first can be stopped. One that deals with it and goes on, as those that read commands in a loop
/// do, says so by [`clear_interrupted`]; then the next one counts as the first again.
///
/// Handlers that the process has installed go on being called, those of
/// [`Server::drain_on_signals`](crate::Server::drain_on_signals) and `tokio::signal` too. Connecting is not cancelled. A thread called
/// `ipcall-ctrl-c` stays as long as the process.
///
/// # Errors
/// That of `socketpair(2)`, of `sigaction(2)`, or of making a thread.
pub fn cancel_on_ctrl_c() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        install()?;
        *installed = true;
    }
    Ok(())
}

/// Whether Ctrl-C has come since [`cancel_on_ctrl_c`], or since [`clear_interrupted`].
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Says that what Ctrl-C has interrupted is dealt with: the next one cancels the calls of that time, instead of ending the
/// process. Gives whether there was one.
///
/// For programs that go on after a cancelled call. To be called before something new is begun, such as when the next
/// command is read.
pub fn clear_interrupted() -> bool {
    INTERRUPTED.swap(false, Ordering::SeqCst)
}

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Those whose calls can be cancelled, by the order in which they were connected.
static CLIENTS: Mutex<Clients> = Mutex::new(Clients { numbers: 0, all: BTreeMap::new() });

struct Clients {
    numbers: u64,
    all: BTreeMap<u64, Weak<dyn CancelAll>>,
}

/// What has calls that can be cancelled.
pub(crate) trait CancelAll: Send + Sync {
    /// Cancels them all.
    fn cancel_all(self: Arc<Self>);
}

/// A place among those whose calls are cancelled; given back when dropped.
#[derive(Debug)]
pub(crate) struct Entry(u64);

impl Entry {
    /// A place for nobody yet.
    pub(crate) fn new() -> Self {
        let mut clients = clients();
        clients.numbers += 1;
        Self(clients.numbers)
    }

    /// Gives the place to `client`, which has to have it.
    pub(crate) fn give_to<T: CancelAll + 'static>(&self, client: &Arc<T>) {
        let client: Weak<T> = Arc::downgrade(client);
        clients().all.insert(self.0, client);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        clients().all.remove(&self.0);
    }
}

fn clients() -> MutexGuard<'static, Clients> {
    CLIENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install() -> io::Result<()> {
    let (receiver, sender) = UnixStream::pair()?;
    let thread = thread::Builder::new().name("ipcall-ctrl-c".to_owned());
    thread.spawn(move || listen(receiver))?;
    // In this order: the first finds what the second sets at the signal before.
    let ending = flag::register_conditional_default(SIGINT, Arc::clone(&INTERRUPTED))?;
    let telling = flag::register(SIGINT, Arc::clone(&INTERRUPTED)).inspect_err(|_| {
        low_level::unregister(ending);
    })?;
    low_level::pipe::register(SIGINT, sender).inspect_err(|_| {
        low_level::unregister(telling);
        low_level::unregister(ending);
    })?;
    Ok(())
}

/// Cancels whenever the signal has come, until nobody can tell any more.
fn listen(mut signals: UnixStream) {
    let mut bytes = [0; 64];
    loop {
        match signals.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Collected first: whoever turns out to be the last to have a client gives its place back.
        let clients: Vec<_> = clients().all.values().filter_map(Weak::upgrade).collect();
        clients.into_iter().for_each(CancelAll::cancel_all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is cancelled.
    struct Counter {
        cancelled: Mutex<u32>,
        entry: Entry,
    }

    impl CancelAll for Counter {
        fn cancel_all(self: Arc<Self>) {
            *self.cancelled.lock().expect("nobody panics with it") += 1;
        }
    }

    #[test]
    fn what_is_dropped_leaves_no_entry() {
        let counter = Arc::new(Counter { cancelled: Mutex::new(0), entry: Entry::new() });
        counter.entry.give_to(&counter);
        let number = counter.entry.0;
        let found = clients().all[&number].upgrade().expect("it is there");
        found.cancel_all();
        assert_eq!(*counter.cancelled.lock().expect("nobody panics with it"), 1);
        drop(counter);
        assert!(!clients().all.contains_key(&number));
    }
}
