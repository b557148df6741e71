//! Numbers in memory that other processes may change at any time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Mapping;

/// Some numbers at the beginning of a [`Mapping`], which has to be writable. They are few, and used rarely: each
/// access is in one order for all who use them.
#[derive(Clone, Debug)]
pub(crate) struct Words(Arc<Mapping>);

impl Words {
    /// # Panics
    /// When the mapping is read-only.
    pub(crate) fn of(mapping: &Arc<Mapping>) -> Self {
        assert!(mapping.is_writable(), "these words are written");
        Self(Arc::clone(mapping))
    }

    pub(crate) fn load(&self, index: usize) -> u64 {
        self.0.word(index * size_of::<u64>()).load(Ordering::SeqCst)
    }

    pub(crate) fn store(&self, index: usize, value: u64) {
        self.0.word(index * size_of::<u64>()).store(value, Ordering::SeqCst);
    }

    /// Puts `value` in place of what was there, which it gives back.
    pub(crate) fn swap(&self, index: usize, value: u64) -> u64 {
        self.0.word(index * size_of::<u64>()).swap(value, Ordering::SeqCst)
    }

    pub(crate) fn add(&self, index: usize, value: u64) {
        self.0.word(index * size_of::<u64>()).fetch_add(value, Ordering::SeqCst);
    }

    /// Sets the bits that `value` has.
    pub(crate) fn set_bits(&self, index: usize, value: u64) {
        self.0.word(index * size_of::<u64>()).fetch_or(value, Ordering::SeqCst);
    }

    /// Puts `new` in place of `old`; `false` if something else was there.
    pub(crate) fn replace(&self, index: usize, old: u64, new: u64) -> bool {
        let word = self.0.word(index * size_of::<u64>());
        word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
