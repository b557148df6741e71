//! One thread's turn on a connection that several threads share: waiting for room, for the answer, and with which
//! of the roles.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use super::{Roles, Shared};
use crate::client::link::{Absorbed, Prepared};
use crate::connection::outbox::Blocked;
use crate::connection::source::{Filled, ended, stalled};
use crate::error::{Outcome, RpcError};
use crate::protocol::calls::{Answer, NotBegun, Taken, Ticket};
use crate::wait::thread::{Bell, ThreadSource, wait};

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
    static ALARM: RefCell<Option<Alarm>> = const { RefCell::new(None) };
}

/// One thread's call: what it has of the roles, and how it waits.
pub(super) struct Turn<'a> {
    shared: &'a Shared,
    waker: &'a Waker,
    pub(super) source: Option<Box<ThreadSource>>,
    blocked: Option<Blocked>,
    /// Whether nobody else can have found the answer by now.
    pub(super) is_alone: bool,
    /// Set once this thread is to be woken from a sleep on descriptors.
    alarm: Option<Alarm>,
    wakers: Vec<Waker>,
    /// Whether others have been told that the roles are free.
    finished: bool,
}

impl<'a> Turn<'a> {
    pub(super) fn new(shared: &'a Shared, waker: &'a Waker) -> Self {
        Self {
            shared,
            waker,
            source: None,
            blocked: None,
            is_alone: false,
            alarm: None,
            wakers: Vec::new(),
            finished: false,
        }
    }

    fn set_alarm(&mut self) -> Result<Waker, RpcError> {
        let alarm = match self.alarm.take() {
            Some(alarm) => alarm,
            None => Alarm::of_this_thread().map_err(|e| RpcError::io("making an eventfd", e))?,
        };
        Ok(self.alarm.insert(alarm).waker.clone())
    }

    /// Begins a call, and takes the roles that are free before.
    #[inline]
    pub(super) fn start(&mut self, call: &Prepared) -> Result<u64, RpcError> {
        let link = &self.shared.link;
        if !link.outbox.is_crowded() {
            let mut table = link.calls();
            self.take(&mut table.roles);
            if let Ok(id) = table.begin(call.deadline, call.held_bytes()) {
                self.is_alone = self.source.is_some();
                return Ok(id);
            }
        }
        self.begin(call)
    }

    /// Waits for the call's turn and begins it.
    #[inline]
    pub(super) fn begin(&mut self, call: &Prepared) -> Result<u64, RpcError> {
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
    pub(super) fn keep(&mut self, blocked: Option<Blocked>) {
        if blocked.is_some() {
            self.blocked = blocked;
        }
    }

    /// Waits for the answer.
    #[inline]
    pub(super) fn answer(&mut self, id: u64, call: &Prepared) -> Result<Answer, RpcError> {
        let link = &self.shared.link;
        loop {
            if !self.is_alone {
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
                self.is_alone = self.source.is_some();
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
    pub(super) fn take_roles(&mut self) {
        if self.source.is_none() {
            self.take(&mut self.shared.link.calls().roles);
        }
    }

    #[inline]
    fn take(&mut self, roles: &mut Roles) {
        self.source = roles.source.take();
        if self.blocked.is_none() {
            self.blocked = roles.blocked.take();
        }
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

    /// Waits once: with the roles that this thread has, or for whoever has them. Gives the answer to the
    /// call `own` if this thread has read it.
    fn step(&mut self, deadline: Option<Instant>, own: Option<u64>) -> Option<Taken> {
        if self.source.is_none() {
            // Whoever gave roles back since they were asked for may have found nobody to wake.
            self.take_roles();
            if self.source.is_some() && own.is_some() {
                // It may have come meanwhile; and who reads must not be taken for one who only waits.
                return None;
            }
        }
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
            // It is in the table what has become of the call.
            self.is_alone = false;
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
        let mut absorbed = Absorbed { wanted: own, ..Absorbed::default() };
        loop {
            let filled = source.fill();
            if matches!(filled, Ok(Filled::Nothing)) {
                break;
            }
            let more = matches!(filled, Ok(Filled::More)) && absorbed.taken.is_none();
            let result = link.absorb(&mut source.source, filled, &mut self.wakers, &mut absorbed);
            if let Some(blocked) = absorbed.blocked.take() {
                self.blocked = Some(blocked);
            }
            self.wakers.drain(..).for_each(Waker::wake);
            match result {
                // The answer has come before that.
                Err(error) if absorbed.taken.is_some() => {
                    link.fail(error);
                    break;
                }
                result => result?,
            }
            source.note_progress();
            if !more {
                break;
            }
        }
        let taken = absorbed.taken;
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
    pub(super) fn finish(mut self, deadline: Option<Instant>) {
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
            self.blocked = link.calls().roles.blocked.take();
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
        let (left, next) = {
            let mut table = self.shared.link.calls();
            let roles = &mut table.roles;
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
            // The one who is wanted may have gone meanwhile.
            (roles.blocked.is_some(), table.any_waiting())
        };
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
