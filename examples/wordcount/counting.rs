//! Counting: what the server does.

use std::collections::HashMap;

use super::{Counts, Frequency, LISTED, LONGEST_LISTED, Totals, WordCount, is_space};

/// The service. It has no state: each call is counted for itself.
pub(crate) struct Counter;

impl WordCount for Counter {
    async fn count(&self, text: &[u8]) -> Counts {
        whole(text)
    }

    fn tally(&self, part: &[u8], inside_word: bool) -> Counts {
        let (totals, words) = count(part, inside_word);
        let words = words.into_iter().map(|(word, count)| Frequency { word: word.to_vec(), count });
        Counts { totals, words: words.collect() }
    }
}

/// The counts of a whole text.
pub(crate) fn whole(text: &[u8]) -> Counts {
    let (totals, words) = count(text, false);
    Counts { totals, words: commonest(words) }
}

/// The [`LISTED`] commonest words, the commonest first; of those that are equally common, the first
/// in the order of their bytes.
pub(crate) fn commonest<W>(words: impl IntoIterator<Item = (W, u64)>) -> Vec<Frequency>
where
    W: AsRef<[u8]>,
{
    let mut words: Vec<_> = words.into_iter().collect();
    let order = |(a, a_count): &(W, u64), (b, b_count): &(W, u64)| {
        b_count.cmp(a_count).then_with(|| a.as_ref().cmp(b.as_ref()))
    };
    if words.len() > LISTED {
        words.select_nth_unstable_by(LISTED, order);
        words.truncate(LISTED);
    }
    words.sort_unstable_by(order);
    let listed = words.into_iter();
    listed.map(|(word, count)| Frequency { word: word.as_ref().to_vec(), count }).collect()
}

fn count(text: &[u8], inside_word: bool) -> (Totals, HashMap<&[u8], u64>) {
    let mut totals = Totals { bytes: text.len() as u64, ..Totals::default() };
    totals.lines = text.iter().map(|byte| u64::from(*byte == b'\n')).sum();
    let mut listed = HashMap::new();
    let mut pieces = text.split(|byte| is_space(*byte));
    if inside_word {
        // Empty, if the text begins with white space: then nothing is left of the word.
        pieces.next();
    }
    for word in pieces.filter(|piece| !piece.is_empty()) {
        totals.words += 1;
        if word.len() <= LONGEST_LISTED {
            *listed.entry(word).or_default() += 1;
        }
    }
    (totals, listed)
}
