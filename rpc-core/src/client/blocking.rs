//! Calling from plain threads, without a runtime and without a second thread.
//!
//! Whoever waits reads. Where several threads wait on one connection, one of them has the reading side
//! and hands the others their answers; when it leaves, it passes the reading side on. The same holds for
//! a write that a full peer has stopped.

mod connect;

use std::cell::{LazyCell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::client::ConnectOptions;
use crate::client::link::{Link, Prepared};
use crate::connection::outbox::Blocked;
use crate::connection::source::{Filled, ended, stalled};
use crate::error::{Outcome, RpcError};
use crate::protocol::calls::{Answer, NotBegun, Taken, Ticket};
use crate::transport::{Connector, Peer};
use crate::wait::thread::{Bell, ThreadSource, wait};

/// A blocking connection to a server, without the methods of any service.
///
/// Cheap to clone and to share between threads; all share one connection. It closes when the last clone
/// is dropped. The methods come with a generated client: `FooBlockingClient::from_client(&client)`.
#[derive(Clone)]
pub struct BlockingClient(Arc<Shared>);

struct Shared {
    link: Link,
    roles: Mutex<Roles>,
}

/// What only one of the waiting threads can have at a time.
struct Roles {
    source: Option<Box<ThreadSource>>,
    blocked: Option<Blocked>,
    /// The thread that writes and waits for the reading side, too.
    source_wanted: Option<Waker>,
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Wakes a thread wherever it sleeps.
#[derive(Clone)]
struct Alarm {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Alarm {
    /// This thread's; made when it is first needed.
    fn of_this_thread() -> io::Result<Self> {
        ALARM.with_borrow_mut(|alarm| {
            if alarm.is_none() {
                let bell = Arc::new(Bell::new()?);
                *alarm = Some(Self { waker: Waker::from(Arc::clone(&bell)), bell });
            }
            alarm.clone().ok_or_else(|| io::ErrorKind::Other.into())
        })
    }
}

thread_local! {
    static WAKER: LazyCell<Waker> = LazyCell::new(|| Waker::from(Arc::new(Unpark(thread::current()))));
    static ALARM: RefCell<Option<Alarm>> = const { RefCell::new(None) };
}

impl BlockingClient {
    /// Connects to a server, as the endpoint is configured.
    ///
    /// # Errors
    /// Why there is no connection, each naming the endpoint.
    pub fn connect<C: Connector + ?Sized>(connector: &C) -> Result<Self, RpcError> {
        Self::connect_with(connector, &ConnectOptions::new())
    }

    /// Connects to a server.
    ///
    /// # Errors
    /// Why there is no connection, each naming the endpoint.
    pub fn connect_with<C: Connector + ?Sized>(
        connector: &C,
        options: &ConnectOptions,
    ) -> Result<Self, RpcError> {
        let uri = connector.uri();
        connect::establish(connector, options).map_err(|error| error.at(uri))
    }

    /// What is known of the server's process.
    pub fn peer(&self) -> &Peer {
        &self.link().peer
    }

    /// The endpoint's URI.
    pub fn uri(&self) -> &str {
        &self.link().uri
    }

    /// Calls that the server has not answered yet.
    pub fn calls_in_flight(&self) -> usize {
        self.link().calls().unanswered()
    }

    /// Answers that came after their call was given up. They were dropped.
    pub fn late_replies(&self) -> u64 {
        self.link().calls().late()
    }

    pub(crate) fn link(&self) -> &Link {
        &self.0.link
    }

    /// Makes a call and waits for its answer.
    #[inline]
    pub(crate) fn call(&self, mut prepared: Prepared) -> Result<Answer, RpcError> {
        WAKER.with(|waker| {
            let mut turn = Turn::new(&self.0, waker);
            let id = turn.begin(&prepared)?;
            turn.keep(self.0.link.send(id, &mut prepared));
            let answer = turn.answer(id, &prepared);
            turn.finish(prepared.deadline);
            answer
        })
    }

    /// Makes a call that gets no answer, and waits until it is written, as long as its deadline allows.
    pub(crate) fn send(&self, mut prepared: Prepared) -> Result<(), RpcError> {
        WAKER.with(|waker| {
            let mut turn = Turn::new(&self.0, waker);
            let id = turn.begin(&prepared)?;
            turn.keep(self.0.link.send(id, &mut prepared));
            let next = self.0.link.calls().forget(id);
            next.into_iter().for_each(Waker::wake);
            // What is left of it then goes with the next call, or when the client is dropped.
            turn.finish(prepared.deadline);
            match self.0.link.outbox.broken() {
                Some(error) => Err(ended(error).at(&self.0.link.uri)),
                None => Ok(()),
            }
        })
    }
}

impl fmt::Debug for BlockingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingClient").field("endpoint", &self.uri()).finish_non_exhaustive()
    }
}

impl Shared {
    fn roles(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut blocked = self.roles().blocked.take().or_else(|| self.link.close());
        // What was called without wanting an answer is still written, as far as the peer reads.
        let patience = Instant::now() + self.link.settings.limits.progress;
        while let Some(mut waiting) = blocked.take() {
            let left = patience.saturating_duration_since(Instant::now());
            if left.is_zero() || wait(None, Some(&mut waiting), None, Some(left)).is_err() {
                return;
            }
            blocked = self.link.outbox.resume(waiting);
        }
    }
}

/// One thread's call: what it has of the roles, and how it waits.
struct Turn<'a> {
    shared: &'a Shared,
    waker: &'a Waker,
    source: Option<Box<ThreadSource>>,
    blocked: Option<Blocked>,
    /// Set once this thread is to be woken from a sleep on descriptors.
    alarm: Option<Alarm>,
    wakers: Vec<Waker>,
    /// Whether others have been told that the roles are free.
    finished: bool,
}

impl<'a> Turn<'a> {
    fn new(shared: &'a Shared, waker: &'a Waker) -> Self {
        let (alarm, wakers) = (None, Vec::new());
        Self { shared, waker, source: None, blocked: None, alarm, wakers, finished: false }
    }

    fn set_alarm(&mut self) -> Result<Waker, RpcError> {
        let alarm = match self.alarm.take() {
            Some(alarm) => alarm,
            None => Alarm::of_this_thread().map_err(|e| RpcError::io("making an eventfd", e))?,
        };
        Ok(self.alarm.insert(alarm).waker.clone())
    }

    /// Waits for the call's turn and begins it.
    #[inline]
    fn begin(&mut self, call: &Prepared) -> Result<u64, RpcError> {
        let mut place = None;
        let begun = self.wait_for_turn(call, &mut place);
        if let Some(ticket) = place {
            let next = self.shared.link.calls().leave_line(ticket);
            next.into_iter().for_each(Waker::wake);
        }
        begun
    }

    fn wait_for_turn(
        &mut self,
        call: &Prepared,
        place: &mut Option<Ticket>,
    ) -> Result<u64, RpcError> {
        let shared = self.shared;
        let link = &shared.link;
        loop {
            if !link.outbox.is_crowded() || !link.outbox.is_full(&self.set_alarm()?) {
                let mut calls = link.calls();
                match calls.begin(call.deadline, call.held_bytes()) {
                    Ok(id) => return Ok(id),
                    Err(NotBegun::Closed(error)) => {
                        return Err(error.with_outcome(Outcome::NotExecuted));
                    }
                    Err(NotBegun::Full) => {
                        let alarm = self.set_alarm()?;
                        let next = calls.wait_in_line(place, &alarm, call.held_bytes());
                        drop(calls);
                        next.into_iter().for_each(Waker::wake);
                    }
                }
            }
            if is_over(call.deadline) {
                return Err(link.deadline_exceeded(call.budget));
            }
            self.step(call.deadline, None);
        }
    }

    #[inline]
    fn keep(&mut self, blocked: Option<Blocked>) {
        if blocked.is_some() {
            self.blocked = blocked;
        }
    }

    /// Waits for the answer.
    #[inline]
    fn answer(&mut self, id: u64, call: &Prepared) -> Result<Answer, RpcError> {
        let link = &self.shared.link;
        loop {
            self.take_roles();
            let taken = match self.source {
                // Nobody else can find the answer.
                Some(_) => link.calls().take(id),
                None => link.calls().poll(id, self.waker),
            };
            if let Some((answer, next)) = taken {
                next.into_iter().for_each(Waker::wake);
                return answer;
            }
            if is_over(call.deadline) {
                let (tell, next) = link.calls().abandon(id);
                next.into_iter().for_each(Waker::wake);
                if tell {
                    let blocked = link.send_cancel(id);
                    self.keep(blocked);
                }
                let error = link.deadline_exceeded(call.budget);
                return Err(error.with_outcome(Outcome::MaybeExecuted));
            }
            if let Some((answer, next)) = self.step(call.deadline, Some(id)) {
                next.into_iter().for_each(Waker::wake);
                return answer;
            }
        }
    }

    /// Takes the roles that are free.
    #[inline]
    fn take_roles(&mut self) {
        if self.source.is_none() {
            let mut roles = self.shared.roles();
            self.source = roles.source.take();
            self.blocked = self.blocked.take().or_else(|| roles.blocked.take());
            match &mut self.source {
                Some(source) => {
                    source.go_on();
                    self.shared.link.outbox.start_reading();
                }
                // Without an alarm this thread finds out as soon as it can write.
                None if self.blocked.is_some() => roles.source_wanted = self.set_alarm().ok(),
                None => {}
            }
        }
    }

    /// Waits once: with the roles that this thread has, or for whoever has them. Gives the answer to the
    /// call `own` if this thread has read it.
    fn step(&mut self, deadline: Option<Instant>, own: Option<u64>) -> Option<Taken> {
        // Whoever gave roles back since they were asked for may have found nobody to wake.
        self.take_roles();
        let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if self.source.is_none() && self.blocked.is_none() {
            match timeout {
                Some(timeout) => thread::park_timeout(timeout),
                None => thread::park(),
            }
            return None;
        }
        self.wait_and_move(timeout, own).unwrap_or_else(|error| {
            self.shared.link.fail(error);
            None
        })
    }

    /// Waits with the roles that this thread has, and does what can be done then.
    #[inline]
    fn wait_and_move(
        &mut self,
        timeout: Option<Duration>,
        own: Option<u64>,
    ) -> Result<Option<Taken>, RpcError> {
        let progress = self.shared.link.settings.limits.progress;
        let patience = self.source.as_ref().and_then(|source| source.patience(progress));
        if patience.is_some_and(|patience| patience.is_zero()) {
            return Err(stalled(progress));
        }
        let timeout = patience.into_iter().chain(timeout).min();
        let bell = self.alarm.as_ref().map(|alarm| alarm.bell.as_fd());
        let ready = wait(self.source.as_deref_mut(), self.blocked.as_mut(), bell, timeout)
            .map_err(ended)?;
        if ready.other
            && let Some(alarm) = &self.alarm
        {
            alarm.bell.silence();
        }
        let link = &self.shared.link;
        if ready.write
            && let Some(blocked) = self.blocked.take()
        {
            self.blocked = link.outbox.resume(blocked);
        }
        if !ready.read {
            return Ok(None);
        }
        let Some(source) = &mut self.source else { return Ok(None) };
        let mut taken = None;
        loop {
            let filled = source.fill();
            if matches!(filled, Ok(Filled::Nothing)) {
                break;
            }
            let more = matches!(filled, Ok(Filled::More));
            let own = own.filter(|_| taken.is_none());
            let absorbed = match link.absorb(&mut source.source, filled, &mut self.wakers, own) {
                Err(error) if taken.is_some() => {
                    link.fail(error);
                    break;
                }
                absorbed => absorbed?,
            };
            if absorbed.blocked.is_some() {
                self.blocked = absorbed.blocked;
            }
            taken = taken.or(absorbed.own);
            self.wakers.drain(..).for_each(Waker::wake);
            if !more {
                source.note_progress();
                break;
            }
        }
        if taken.is_none()
            && link.outbox.has_failed()
            && let Some(error) = link.outbox.broken()
        {
            // All that could be read has been.
            return Err(ended(error));
        }
        Ok(taken)
    }

    /// Gives the roles back, and wakes someone to take them. What is written only in part when the time
    /// is over is left to the next call.
    fn finish(mut self, deadline: Option<Instant>) {
        let link = &self.shared.link;
        loop {
            if link.outbox.waits() && self.blocked.is_none() && link.calls().any_waiting().is_none()
            {
                self.blocked = link.outbox.stop_reading();
            }
            // Also what was left to this thread while it waited for something else.
            if !self.give_back() || is_over(deadline) {
                break;
            }
            let mut calls = link.calls();
            let (closed, others) = (calls.closed().is_some(), calls.any_waiting().is_some());
            drop(calls);
            // Whoever waits now will look here before it goes.
            if others && !closed {
                break;
            }
            self.blocked = self.shared.roles().blocked.take();
            if closed {
                // What is left cannot arrive any more.
                self.blocked = None;
            } else if self.blocked.is_some() {
                // Nobody waits who could go on with this.
                self.step(deadline, None);
            }
        }
        self.finished = true;
    }

    /// Gives the roles back, and wakes someone to take them. Whether there is a write to go on with.
    fn give_back(&mut self) -> bool {
        let (mut wanted, blocked) = (None, self.blocked.take());
        let left = {
            let mut roles = self.shared.roles();
            if let Some(mut source) = self.source.take() {
                source.pause();
                roles.source = Some(source);
                wanted = roles.source_wanted.take();
            }
            if blocked.is_some() {
                roles.blocked = blocked;
            }
            if roles.source.is_none() && roles.blocked.is_none() {
                return false;
            }
            roles.blocked.is_some()
        };
        // The first may have gone meanwhile.
        let next = self.shared.link.calls().any_waiting();
        wanted.into_iter().chain(next).for_each(Waker::wake);
        left
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.give_back();
        }
    }
}

#[inline]
fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}
