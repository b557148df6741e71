//! Adding up the counts of parts and of files.

use std::collections::HashMap;
use std::ops::AddAssign;

use super::counting::commonest;
use super::{Counts, Frequency, Totals};

/// The counts of several texts, or of the parts of one.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) totals: Totals,
    words: HashMap<Vec<u8>, u64>,
}

impl Sum {
    /// The ten commonest words, the commonest first.
    pub(crate) fn commonest(&self) -> Vec<Frequency> {
        commonest(self.words.iter().map(|(word, count)| (word, *count)))
    }
}

impl AddAssign<Counts> for Sum {
    fn add_assign(&mut self, counts: Counts) {
        self.totals += counts.totals;
        for Frequency { word, count } in counts.words {
            *self.words.entry(word).or_default() += count;
        }
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.totals += other.totals;
        for (word, count) in other.words {
            *self.words.entry(word).or_default() += count;
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}
