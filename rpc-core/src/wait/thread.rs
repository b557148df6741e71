//! Waiting in a plain thread: `ppoll(2)`, or `epoll_wait(2)` for a source that prefers [edges](super::edges).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use crate::connection::outbox::Blocked;
use crate::connection::source::{Filled, Source};
use crate::limits::Spin;
use crate::transport::Interest;
use crate::wait::Spinner;
use crate::wait::edges::Edges;

/// Sleeps until one of the descriptors is ready, or the time is over. Gives which ones are. A signal
/// ends the sleep early, with none.
pub(crate) fn sleep<const N: usize>(
    descriptors: [Option<(BorrowedFd<'_>, Interest)>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let Some(any) = descriptors.iter().flatten().next().map(|(fd, _)| *fd) else {
        return Err(io::Error::other("there is nothing to wait for"));
    };
    // Only the first so many are used: the kernel takes its time over each.
    let mut polled = [(); N].map(|()| PollFd::new(any, PollFlags::empty()));
    let mut used = 0;
    for (fd, interest) in descriptors.iter().flatten() {
        let events = match interest {
            Interest::Readable => PollFlags::POLLIN,
            Interest::Writable => PollFlags::POLLOUT,
        };
        polled[used] = PollFd::new(*fd, events);
        used += 1;
    }
    match ppoll(&mut polled[..used], timeout.map(TimeSpec::from_duration), None) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok([false; N]),
        Err(errno) => return Err(errno.into()),
    }
    let mut places = polled.iter();
    Ok(descriptors.map(|descriptor| {
        let events = descriptor.and_then(|_| places.next()).and_then(PollFd::revents);
        events.is_some_and(|events| !events.is_empty())
    }))
}

/// Wakes the thread that made it, be it parked or asleep on descriptors with this one among them.
#[derive(Debug)]
pub(crate) struct Bell {
    thread: Thread,
    descriptor: EventFd,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self { thread: thread::current(), descriptor: EventFd::from_flags(flags)? })
    }

    /// To be called by its thread when it was woken by it.
    pub(crate) fn silence(&self) {
        // It may not be ringing any more.
        let _ = self.descriptor.read();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.thread.unpark();
        // The count can be at its maximum; then it is ringing anyway.
        let _ = self.descriptor.write(1);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Wakes whoever has the reading side of a connection.
#[derive(Debug)]
pub(crate) struct Doorbell(EventFd);

impl Doorbell {
    pub(crate) fn new() -> io::Result<Self> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(Self)
            .map_err(Into::into)
    }

    pub(crate) fn ring(&self) {
        // The count can be at its maximum; then it is ringing anyway.
        let _ = self.0.write(1);
    }

    /// To be called by whoever has the reading side.
    pub(crate) fn silence(&self) {
        // It may not be ringing.
        let _ = self.0.read();
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Looks in a row at a source that is dry, before deadlines and the like are looked at again.
const DRY: u32 = 64;

/// A [`Source`] that a thread can wait for.
pub(crate) struct ThreadSource {
    pub(crate) source: Source,
    spinner: Spinner,
    /// Since when the peer has been in the middle of something without a further byte.
    midway_since: Option<Instant>,
    /// How long that had been when nobody went on reading.
    waited: Option<Duration>,
    /// Where it sleeps on edges, until it hangs up.
    edges: Option<Edges>,
}

/// What `epoll_wait(2)` can tell apart. A shorter sleep is none on edges.
const TICK: Duration = Duration::from_millis(1);

impl ThreadSource {
    /// Reads and drops all that comes, until the peer has closed or the time is over.
    pub(crate) fn discard(&mut self, until: Instant) {
        let mut discarded = Vec::with_capacity(4 << 10);
        loop {
            discarded.clear();
            let limit = discarded.capacity();
            match self.source.half.try_read(&mut discarded, limit) {
                Ok(0) => return,
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || wait(Some(self), None, None, Some(left)).is_err() {
                return;
            }
        }
    }
}

/// Waits until one of the listeners has a client, and gives which ones have; `None` when it is time to
/// stop.
///
/// # Errors
/// `poll(2)`'s.
pub(crate) fn accept<'a>(
    listeners: impl Iterator<Item = BorrowedFd<'a>>,
    stop: BorrowedFd<'a>,
) -> io::Result<Option<Vec<usize>>> {
    let ready = any(std::iter::once(stop).chain(listeners), None)?;
    if ready.first() == Some(&0) {
        return Ok(None);
    }
    Ok(Some(ready.into_iter().map(|index| index - 1).collect()))
}

/// Waits until one of them can be read from, and gives which ones can, in order; none when the time is over, or
/// a signal has come.
///
/// # Errors
/// `poll(2)`'s.
pub(crate) fn any<'a>(
    descriptors: impl Iterator<Item = BorrowedFd<'a>>,
    timeout: Option<Duration>,
) -> io::Result<Vec<usize>> {
    let mut polled: Vec<_> = descriptors.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    match ppoll(&mut polled, timeout.map(TimeSpec::from_duration), None) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let is_ready = |place: &PollFd<'_>| place.revents().is_some_and(|events| !events.is_empty());
    Ok((0..polled.len()).filter(|index| is_ready(&polled[*index])).collect())
}

/// What is worth trying after a wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) other: bool,
}

impl ThreadSource {
    pub(crate) fn new(source: Source, spin: Spin) -> Self {
        let spinner = Spinner::new(spin);
        Self { source, spinner, midway_since: None, waited: None, edges: None }
    }

    /// To be called when all events were taken: notes whether the peer is in the middle of something.
    #[inline]
    pub(crate) fn note_progress(&mut self) {
        self.midway_since = self.source.incoming.is_midway().then(Instant::now);
    }

    /// Nobody reads for a while, which is not to count against the peer.
    #[inline]
    pub(crate) fn pause(&mut self) {
        self.waited = self.midway_since.take().map(|since| since.elapsed());
    }

    /// Somebody reads again.
    #[inline]
    pub(crate) fn go_on(&mut self) {
        let waited = self.waited.take();
        self.midway_since = waited.and_then(|waited| Instant::now().checked_sub(waited));
    }

    /// How much longer the peer may take to go on, if it is in the middle of something.
    #[inline]
    pub(crate) fn patience(&self, progress: Duration) -> Option<Duration> {
        self.midway_since.map(|since| progress.saturating_sub(since.elapsed()))
    }

    /// Tries for a while, if that pays; whether to read then, instead of sleeping.
    #[inline]
    fn spin(&mut self) -> bool {
        for _ in 0..DRY {
            if !self.spinner.again() {
                return false;
            }
            if !self.source.half.is_dry() {
                break;
            }
        }
        true
    }

    /// Says that it will be waited for beside this, which stays open as long as it is, so that a transport that prefers
    /// edges can have them.
    pub(crate) fn keep_beside(&mut self, other: BorrowedFd<'_>) {
        if self.source.half.prefers_edges() && self.spinner.sleeps() {
            // Without a descriptor left for it, it is slept on by level.
            self.edges = Edges::new(self.source.half.as_fd(), other).ok();
        }
    }

    /// Says that it is about to sleep, and sleeps unless something has come; `None` if that cannot be on edges.
    #[inline]
    fn sleep_on_edges(
        &mut self,
        beside: BorrowedFd<'_>,
        timeout: Option<Duration>,
    ) -> Option<io::Result<Ready>> {
        let edges = self.edges.as_ref()?;
        if !edges.is_beside(beside) || timeout.is_some_and(|timeout| timeout < TICK) {
            return None;
        }
        if !self.source.half.arm_edge() {
            return Some(Ok(Ready { read: true, ..Ready::default() }));
        }
        let woken = edges.sleep(timeout);
        Some(woken.map(|woken| {
            if woken.hung_up {
                self.edges = None;
            }
            Ready { read: woken.source, write: false, other: woken.beside }
        }))
    }

    /// Reads once, without waiting.
    ///
    /// # Errors
    /// Whatever ends the connection.
    #[inline]
    pub(crate) fn fill(&mut self) -> io::Result<Filled> {
        let filled = self.source.fill()?;
        if filled != Filled::Nothing {
            self.spinner.done();
        }
        Ok(filled)
    }
}

/// Waits until there may be something to read, room to write, or something at `other`; as far as each is
/// given. Ends early, with nothing, when the time is over or a signal comes.
///
/// # Errors
/// `poll(2)`'s.
#[inline]
pub(crate) fn wait(
    source: Option<&mut ThreadSource>,
    blocked: Option<&mut Blocked>,
    other: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    wait_beside(source, blocked, [other, None], timeout)
}

/// The same with two others.
///
/// # Errors
/// `poll(2)`'s.
#[inline]
pub(crate) fn wait_beside(
    mut source: Option<&mut ThreadSource>,
    mut blocked: Option<&mut Blocked>,
    others: [Option<BorrowedFd<'_>>; 2],
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let mut ready = Ready::default();
    if let Some(source) = &mut source {
        ready.read = source.spin();
        if !ready.read {
            let slept = match (others, &blocked) {
                ([Some(beside), None], None) => source.sleep_on_edges(beside, timeout),
                _ => None,
            };
            if let Some(slept) = slept {
                return slept;
            }
            ready.read = !source.source.half.arm();
        }
    }
    if let Some(blocked) = &mut blocked {
        ready.write = !blocked.full || !blocked.writer.half.arm();
    }
    if ready.write || (ready.read && blocked.is_none()) {
        // A long write must not keep what has come waiting.
        ready.read |= source.is_some();
        return Ok(ready);
    }
    // Nor must trying to read keep a full writer from being looked at.
    let timeout = if ready.read { Some(Duration::ZERO) } else { timeout };
    let reading = source.map(|source| (source.source.half.as_fd(), Interest::Readable));
    let writing =
        blocked.map(|Blocked { writer, .. }| (writer.half.as_fd(), writer.half.interest()));
    let [one, other] = others.map(|other| other.map(|other| (other, Interest::Readable)));
    let [read, write, one, other] = sleep([reading, writing, one, other], timeout)?;
    Ok(Ready { read: ready.read || read, write, other: one || other })
}
