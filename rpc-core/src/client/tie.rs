//! What ties a call to the token that it was made with.

use std::task::Waker;

use crate::cancel::CancelToken;

/// A call's token, and whom it wakes. Dropping it unties them.
pub(crate) struct Tie {
    token: CancelToken,
    key: Option<u64>,
}

impl Tie {
    pub(crate) fn new(token: CancelToken) -> Self {
        Self { token, key: None }
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether it is cancelled; if not, `waker` is woken when it is.
    pub(crate) fn is_cancelled_or_wakes(&mut self, waker: &Waker) -> bool {
        self.token.poll_cancelled(&mut self.key, waker).is_ready()
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.token.forget(self.key);
    }
}
