//! A waker for the current thread, as it parks.

use std::cell::LazyCell;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: LazyCell<Waker> = LazyCell::new(|| Waker::from(Arc::new(Unpark(thread::current()))));
}

/// Calls `with` with what ends this thread's next `park`.
#[inline]
pub(crate) fn with_waker<R>(with: impl FnOnce(&Waker) -> R) -> R {
    WAKER.with(|waker| with(waker))
}
