//! Reusable byte buffers: a small pool for each thread, and one for large buffers.
//!
//! A call builds its frame in a buffer from here and gives it back once the bytes are in the
//! transport, so that a busy thread stops allocating. Buffers may be given back on another thread
//! than they were taken on. Large buffers, whose fresh pages cost more than a lock, are shared by
//! all threads.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most buffers one thread keeps.
const KEPT_BUFFERS: usize = 16;

/// The largest capacity, in bytes, that a thread keeps.
const KEPT_CAPACITY: usize = 64 << 10;

/// Bytes of large buffers that the process keeps.
const KEPT_LARGE: usize = 16 << 20;

/// The largest capacity, in bytes, of the one buffer that the process keeps beside them: for messages of
/// the default limit. Their 16,384 pages take longer to be mapped and unmapped than to be copied, and while
/// they are unmapped, in one go of some milliseconds, the thread does nothing else.
const KEPT_HUGE: usize = 65 << 20;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

static LARGE: Mutex<Large> = Mutex::new(Large { kept: Vec::new(), huge: None, leases: 0 });

/// The buffers that all threads share.
struct Large {
    /// The most recently used last.
    kept: Vec<Vec<u8>>,
    huge: Option<Vec<u8>>,
    leases: usize,
}

/// Held by whoever uses large buffers. When the last is dropped, none is kept any more.
#[derive(Debug)]
pub struct Lease(());

impl Lease {
    /// Makes one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a lease is taken on purpose")]
    pub fn new() -> Self {
        large().leases += 1;
        Self(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut large = large();
        large.leases -= 1;
        if large.leases == 0 {
            let unused = (std::mem::take(&mut large.kept), large.huge.take());
            drop(large);
            drop(unused);
        }
    }
}

/// Takes an empty buffer, with the capacity of an earlier use where there was one.
#[must_use]
#[inline]
pub fn take() -> Vec<u8> {
    // The pool is gone while the thread winds down; a fresh buffer does then.
    POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Takes an empty buffer with at least this capacity, in bytes.
#[must_use]
pub fn take_large(capacity: usize) -> Vec<u8> {
    let mut large = large();
    let fits =
        |buffer: &Vec<u8>| (capacity..=capacity.saturating_mul(4)).contains(&buffer.capacity());
    if let Some(huge) = large.huge.take_if(|buffer| fits(buffer)) {
        return huge;
    }
    match large.kept.iter().rposition(fits) {
        Some(index) => large.kept.remove(index),
        None => {
            drop(large);
            Vec::with_capacity(capacity)
        }
    }
}

/// Makes room for `additional` bytes; a buffer that has to become large is exchanged for a kept one.
#[inline]
pub fn reserve(buffer: &mut Vec<u8>, additional: usize) {
    if buffer.capacity() - buffer.len() < additional {
        grow(buffer, additional);
    }
}

#[cold]
fn grow(buffer: &mut Vec<u8>, additional: usize) {
    let needed = buffer.len().saturating_add(additional);
    if needed <= KEPT_CAPACITY {
        return buffer.reserve(additional);
    }
    // At least doubled, so that bytes added one by one are moved a bounded number of times.
    let mut larger = take_large(needed.max(buffer.capacity().saturating_mul(2)));
    larger.extend_from_slice(buffer);
    give(std::mem::replace(buffer, larger));
}

/// Gives a buffer back for a later [`take`]; its contents are dropped.
///
/// A buffer that never allocated is not kept, nor one for which there is no room: a thread keeps 16
/// of up to 64 KiB, the process 16 MiB of larger ones and one of up to 65 MiB beside them. A process without
/// a [`Lease`] keeps none of the large ones for long.
#[inline]
pub fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() > KEPT_CAPACITY {
        return give_large(buffer);
    }
    if buffer.capacity() == 0 {
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

fn give_large(mut buffer: Vec<u8>) {
    buffer.clear();
    // What is not kept is freed when the lock is not held any more.
    let mut unused = Vec::new();
    let mut large = large();
    match buffer.capacity() {
        capacity if capacity > KEPT_HUGE => unused.push(buffer),
        capacity if capacity > KEPT_LARGE / 2 => unused.extend(large.huge.replace(buffer)),
        _ => {
            large.kept.push(buffer);
            let mut total: usize = large.kept.iter().map(Vec::capacity).sum();
            while total > KEPT_LARGE {
                let oldest = large.kept.remove(0);
                total -= oldest.capacity();
                unused.push(oldest);
            }
        }
    }
    drop(large);
}

fn large() -> MutexGuard<'static, Large> {
    LARGE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{KEPT_BUFFERS, KEPT_CAPACITY, give, reserve, take, take_large};

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
    fn a_large_buffer_is_not_kept_by_the_thread_but_by_the_process() {
        // A capacity that no other test asks for.
        let capacity = KEPT_CAPACITY + 12_345;
        give(Vec::with_capacity(capacity));
        assert_eq!(take().capacity(), 0);
        assert_eq!(take_large(capacity).capacity(), capacity);
    }

    #[test]
    fn a_buffer_that_grows_keeps_its_bytes() {
        let mut buffer = vec![1, 2, 3];
        for additional in [10, 100_000, 1_000_000] {
            reserve(&mut buffer, additional);
            assert!(buffer.capacity() >= 3 + additional);
            assert_eq!(buffer, [1, 2, 3]);
        }
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
