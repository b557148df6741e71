//! Reusable byte buffers, one small pool per thread.
//!
//! A call builds its frame in a buffer from here and gives it back once the bytes are in the
//! transport, so that a busy thread stops allocating. Buffers may be given back on another thread
//! than they were taken on; nothing is shared between threads and nothing is locked.

use std::cell::RefCell;

/// The most buffers one thread keeps.
const KEPT_BUFFERS: usize = 16;

/// The largest capacity, in bytes, that is worth keeping: one big message must not pin its memory.
const KEPT_CAPACITY: usize = 64 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Takes an empty buffer, with the capacity of an earlier use where there was one.
#[must_use]
pub fn take() -> Vec<u8> {
    // The pool is gone while the thread winds down; a fresh buffer does then.
    POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Gives a buffer back for a later [`take`]; its contents are dropped.
///
/// A buffer is freed rather than kept when it never allocated, when its capacity is above 64 KiB,
/// when this thread holds 16 already, or when the thread is winding down.
pub fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > KEPT_CAPACITY {
        return;
    }
    buffer.clear();
    // An error means that the pool is gone, and `buffer` was freed with the closure.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < KEPT_BUFFERS {
            pool.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::{KEPT_BUFFERS, KEPT_CAPACITY, give, take};

    #[test]
    fn a_buffer_given_back_is_taken_again_and_empty() {
        let mut buffer = take();
        buffer.extend_from_slice(&[7; 100]);
        let address = buffer.as_ptr();
        give(buffer);
        let again = take();
        assert!(again.is_empty());
        assert!(again.capacity() >= 100);
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        give(Vec::with_capacity(KEPT_CAPACITY + 1));
        assert_eq!(take().capacity(), 0);
    }

    #[test]
    fn no_more_than_sixteen_are_kept() {
        for _ in 0..KEPT_BUFFERS + 5 {
            give(Vec::with_capacity(32));
        }
        let reused = (0..KEPT_BUFFERS + 5).filter(|_| take().capacity() > 0).count();
        assert_eq!(reused, KEPT_BUFFERS);
    }

    #[test]
    fn a_thread_that_winds_down_may_still_give_and_take() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                give(Vec::with_capacity(32));
                give(take());
            }
        }
        thread_local!(static LATE: Late = const { Late });
        std::thread::spawn(|| {
            LATE.with(|_| ());
            give(Vec::with_capacity(32));
        })
        .join()
        .expect("neither call may panic while thread locals are destroyed");
    }
}
