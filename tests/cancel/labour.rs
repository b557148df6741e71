//! A service whose handlers go on until they are cancelled, each in its own way, and say when they have ended.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ipcall::{CancelCause, Context, Server, ipc_service};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use tokio::sync::Semaphore;

#[ipc_service]
pub(crate) trait Labour {
    async fn add(&self, a: u64, b: u64) -> u64;
    fn add_blocking(&self, a: u64, b: u64) -> u64;

    /// Is never ready.
    async fn wait(&self);
    /// Is never ready, and asks about its call.
    async fn wait_knowing(&self, cx: &Context);
    /// Looks whether it was cancelled.
    fn toil(&self, cx: &Context);
    /// Reads from a pipe that stays empty.
    fn read(&self, cx: &Context);
    /// Sleeps in a system call.
    fn sleep(&self, cx: &Context);
    /// Sleeps as the context offers it.
    fn nap(&self, cx: &Context);
    /// Waits for a descriptor.
    fn poll(&self, cx: &Context);
    /// Goes on until it has seen that it was cancelled, and then some time.
    #[ipc(no_cancel)]
    async fn protected(&self, cx: &Context);
    /// Sleeps, whatever comes.
    fn stubborn(&self, cx: &Context, millis: u64) -> u64;
    /// Gives `number` back.
    async fn swallow(&self, data: &[u8], number: u64) -> u64;
    /// Takes one of the permits that the test has put there.
    #[ipc(oneway)]
    async fn linger(&self, data: &[u8]);
    /// As many bytes as are wanted.
    async fn produce(&self, length: u64) -> Vec<u8>;
    /// What is left of the time of its call, in ns.
    fn remaining(&self, cx: &Context) -> Option<u64>;
}

/// How a handler goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Wait,
    WaitKnowing,
    Toil,
    Read,
    Sleep,
    Nap,
    Poll,
    Protected,
}

impl Work {
    pub(crate) const ALL: [Self; 8] = [
        Self::Wait,
        Self::WaitKnowing,
        Self::Toil,
        Self::Read,
        Self::Sleep,
        Self::Nap,
        Self::Poll,
        Self::Protected,
    ];
}

/// What the tests and the handlers share.
pub(crate) struct State {
    started: AtomicU32,
    /// How many have ended, and how the last one has.
    ended: Mutex<(usize, Option<Ended>)>,
    pipe: (OwnedFd, OwnedFd),
    /// Permits for [`Labour::linger`].
    pub(crate) gate: Semaphore,
    lingering: AtomicU32,
}

/// The end of a handler, and why it has ended as far as it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) at: Instant,
    pub(crate) cause: Option<CancelCause>,
}

/// A handler that runs.
struct Running<'a>(&'a State, Option<&'a Context>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let cause = self.1.and_then(|cx| cx.check().err()).map(|cancelled| cancelled.cause);
        let mut ended = self.0.ended.lock().unwrap();
        *ended = (ended.0 + 1, Some(Ended { at: Instant::now(), cause }));
    }
}

impl State {
    pub(crate) fn new() -> Arc<Self> {
        let (started, ended) = (AtomicU32::new(0), Mutex::default());
        let (pipe, lingering) = (nix::unistd::pipe().unwrap(), AtomicU32::new(0));
        Arc::new(Self { started, ended, pipe, gate: Semaphore::new(0), lingering })
    }

    pub(crate) fn server(self: &Arc<Self>) -> Server {
        Server::new().add_service(LabourServer::from_arc(Arc::clone(self)))
    }

    pub(crate) fn started(&self) -> u32 {
        self.started.load(Ordering::SeqCst)
    }

    pub(crate) fn ended(&self) -> usize {
        self.ended.lock().unwrap().0
    }

    pub(crate) fn lingering(&self) -> u32 {
        self.lingering.load(Ordering::SeqCst)
    }

    pub(crate) fn last_end(&self) -> Ended {
        self.ended.lock().unwrap().1.unwrap()
    }

    fn run<'a>(&'a self, cx: Option<&'a Context>) -> Running<'a> {
        let running = Running(self, cx);
        self.started.fetch_add(1, Ordering::SeqCst);
        running
    }
}

impl Labour for State {
    async fn add(&self, a: u64, b: u64) -> u64 {
        a + b
    }

    fn add_blocking(&self, a: u64, b: u64) -> u64 {
        a + b
    }

    async fn wait(&self) {
        let _running = self.run(None);
        std::future::pending().await
    }

    async fn wait_knowing(&self, cx: &Context) {
        let _running = self.run(Some(cx));
        std::future::pending().await
    }

    fn toil(&self, cx: &Context) {
        let _running = self.run(Some(cx));
        while cx.check().is_ok() {
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn read(&self, cx: &Context) {
        let _running = self.run(Some(cx));
        let mut byte = [0];
        while cx.check().is_ok() {
            let read = cx.interruptible(|| nix::unistd::read(self.pipe.0.as_fd(), &mut byte));
            assert_eq!(read, Err(Errno::EINTR));
        }
    }

    fn sleep(&self, cx: &Context) {
        let _running = self.run(Some(cx));
        let (clock, flags) = (ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::empty());
        let hour = nix::sys::time::TimeSpec::new(3600, 0);
        while cx.check().is_ok() {
            let slept = cx.interruptible(|| clock_nanosleep(clock, flags, &hour));
            assert_eq!(slept.unwrap_err(), Errno::EINTR);
        }
    }

    fn nap(&self, cx: &Context) {
        let _running = self.run(Some(cx));
        cx.sleep(Duration::from_secs(3600)).unwrap_err();
    }

    fn poll(&self, cx: &Context) {
        let _running = self.run(Some(cx));
        let (cancelled, other) = (cx.cancel_fd().unwrap(), self.pipe.0.as_fd());
        let mut places = [cancelled, other].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let ready = loop {
            match poll(&mut places, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                ready => break ready,
            }
        };
        assert_eq!(ready, Ok(1));
    }

    async fn protected(&self, cx: &Context) {
        let _running = self.run(Some(cx));
        cx.cancelled().await;
        // It is not dropped here.
        yield_now().await;
    }

    fn stubborn(&self, cx: &Context, millis: u64) -> u64 {
        let _running = self.run(Some(cx));
        thread::sleep(Duration::from_millis(millis));
        millis
    }

    async fn swallow(&self, _data: &[u8], number: u64) -> u64 {
        number
    }

    async fn linger(&self, _data: &[u8]) {
        self.lingering.fetch_add(1, Ordering::SeqCst);
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        self.lingering.fetch_sub(1, Ordering::SeqCst);
    }

    async fn produce(&self, length: u64) -> Vec<u8> {
        vec![7; length as usize]
    }

    fn remaining(&self, cx: &Context) -> Option<u64> {
        cx.remaining().map(|left| left.as_nanos() as u64)
    }
}

/// Is ready when it is polled again, also where there is no tokio.
async fn yield_now() {
    let mut polled = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut polled, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Starts a handler and waits for its answer.
pub(crate) async fn work(client: &LabourClient, work: Work) -> Result<(), ipcall::CallError> {
    match work {
        Work::Wait => client.wait().await,
        Work::WaitKnowing => client.wait_knowing().await,
        Work::Toil => client.toil().await,
        Work::Read => client.read().await,
        Work::Sleep => client.sleep().await,
        Work::Nap => client.nap().await,
        Work::Poll => client.poll().await,
        Work::Protected => client.protected().await,
    }
}
