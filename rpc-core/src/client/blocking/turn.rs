//! One thread's turn on a connection that several threads share: waiting for room, for the answer, and with which
//! of the roles.

mod alarm;
mod leaving;

use std::os::fd::AsFd;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use self::alarm::Alarm;
use super::{Roles, Shared};
use crate::client::link::{Absorbed, Since};
use crate::client::prepared::Prepared;
use crate::connection::outbox::Blocked;
use crate::connection::source::{Filled, ended, stalled};
use crate::error::{Outcome, RpcError};
use crate::protocol::calls::{Answer, NotBegun, Taken, Ticket};
use crate::wait::thread::{ThreadSource, wait_beside};

/// What a thread has waited for.
pub(super) enum Waited<R> {
    /// Something else than the answer.
    Found(R),
    Answer(Answer),
    /// Neither, as the time is over.
    Nothing,
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

    /// Has this thread woken when the call's token is cancelled.
    ///
    /// # Errors
    /// It is cancelled already.
    #[inline]
    pub(super) fn tie(&mut self, call: &mut Prepared) -> Result<(), RpcError> {
        if call.has_token() && call.is_cancelled_or_wakes(&self.set_alarm()?) {
            return Err(self.shared.link.cancelled(Outcome::NotExecuted));
        }
        Ok(())
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
        let mut since = Since::default();
        loop {
            if !link.outbox.is_crowded() || !link.outbox.is_full(&self.set_alarm()?) {
                let mut calls = link.calls();
                if since.is_over(&calls) {
                    return Err(link.cancelled(Outcome::NotExecuted));
                }
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
            if call.is_cancelled() || since.waits(&link.calls()) {
                return Err(link.cancelled(Outcome::NotExecuted));
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
            // Also whoever is alone finds in the table that all calls were cancelled.
            if !self.is_alone || link.has_cancelled(id) {
                self.take_roles();
                let taken = match self.source {
                    // Nobody else can find the answer.
                    Some(_) => link.calls().take(id),
                    None => {
                        // Whoever may sleep on descriptors is to be woken there.
                        let alarm = self.alarm.as_ref().map(|alarm| &alarm.waker);
                        link.calls().poll(id, alarm.unwrap_or(self.waker))
                    }
                };
                if let Some((answer, next)) = taken {
                    next.into_iter().for_each(Waker::wake);
                    return answer.map_err(|error| error.at(&link.uri));
                }
                self.is_alone = self.source.is_some();
            }
            if call.is_cancelled() {
                self.give_up(id);
                return Err(link.cancelled(Outcome::MaybeExecuted));
            }
            if is_over(call.deadline) {
                self.give_up(id);
                let error = link.deadline_exceeded(call.budget);
                return Err(error.with_outcome(Outcome::MaybeExecuted));
            }
            if let Some((answer, next)) = self.step(call.deadline, Some(id)) {
                next.into_iter().for_each(Waker::wake);
                return answer.map_err(|error| error.at(&link.uri));
            }
        }
    }

    /// Waits until `look` finds something, the answer to a call with streams is here, or the time is over. What `look`
    /// is given is to be woken; with `wakes`, also by other threads while this one has the reading side.
    pub(super) fn wait_for<R>(
        &mut self,
        id: u64,
        call: &Prepared,
        wakes: bool,
        until: Option<Instant>,
        mut look: impl FnMut(&Waker) -> Option<R>,
    ) -> Result<Waited<R>, RpcError> {
        let link = &self.shared.link;
        loop {
            self.take_roles();
            let waker = match &self.alarm {
                Some(alarm) => alarm.waker.clone(),
                None if wakes => self.set_alarm()?,
                None => self.waker.clone(),
            };
            if let Some(found) = look(&waker) {
                return Ok(Waited::Found(found));
            }
            let mut calls = link.calls();
            // What was sent from here may have been left.
            self.blocked = self.blocked.take().or_else(|| calls.roles.blocked.take());
            let taken = calls.poll(id, &waker);
            drop(calls);
            let is_late = call.is_cancelled() || is_over(call.deadline);
            let was_over = is_over(until);
            let taken = taken.or_else(|| {
                let next = call.deadline.into_iter().chain(until).min();
                if is_late { None } else { self.step(next, Some(id)) }
            });
            if let Some((answer, next)) = taken {
                next.into_iter().for_each(Waker::wake);
                return answer.map(Waited::Answer).map_err(|error| error.at(&link.uri));
            }
            if call.is_cancelled() {
                self.give_up(id);
                return Err(link.cancelled(Outcome::MaybeExecuted));
            }
            if is_over(call.deadline) {
                self.give_up(id);
                let error = link.deadline_exceeded(call.budget);
                return Err(error.with_outcome(Outcome::MaybeExecuted));
            }
            // It has been looked at once in any case.
            if was_over {
                return Ok(Waited::Nothing);
            }
        }
    }

    /// Gives up a call that was sent.
    fn give_up(&mut self, id: u64) {
        let link = &self.shared.link;
        let (tell, next) = link.calls().abandon(id);
        next.into_iter().for_each(Waker::wake);
        if tell {
            let blocked = link.send_cancel(id);
            self.keep(blocked);
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
            let was_woken = self.alarm.is_some();
            self.take_roles();
            let has_alarm = self.alarm.is_some() && !was_woken;
            if own.is_some() && (self.source.is_some() || has_alarm) {
                // It may have come meanwhile; who reads must not be taken for one who only waits; and who writes is
                // to be woken where it sleeps.
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
        let doorbell = self.source.is_some().then(|| self.shared.doorbell.as_fd());
        let source = self.source.as_deref_mut();
        let ready =
            wait_beside(source, self.blocked.as_mut(), [doorbell, bell], timeout).map_err(ended)?;
        if ready.other {
            self.silence();
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

    /// What has woken this thread is looked at from here on.
    #[cold]
    fn silence(&self) {
        if let Some(alarm) = &self.alarm {
            alarm.bell.silence();
        }
        // Of others who sleep nobody listens to it.
        if self.source.is_some() {
            self.shared.doorbell.silence();
        }
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
