//! What wakes a thread that sleeps on descriptors.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use crate::wait::thread::Bell;

/// Wakes a thread wherever it sleeps.
#[derive(Clone)]
pub(super) struct Alarm {
    pub(super) bell: Arc<Bell>,
    pub(super) waker: Waker,
}

impl Alarm {
    /// This thread's; made when it is first needed.
    pub(super) fn of_this_thread() -> io::Result<Self> {
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
