//! What the word-count processes share: counting, and cutting texts into parts.

use crate::wordcount::counting::{Counter, whole};
use crate::wordcount::parts::{Part, Parts};
use crate::wordcount::sum::Sum;
use crate::wordcount::{Frequency, LONGEST_LISTED, Totals, WordCount};

/// The shortest parts that there can be.
const SIZE: usize = Parts::<&[u8]>::SHORTEST;

/// The sum over the parts of `text`, which are looked at on the way.
fn in_parts(text: &[u8], size: usize) -> Sum {
    let mut parts = Parts::new(text, size);
    let (mut sum, mut joined) = (Sum::default(), Vec::new());
    while let Some(Part { text, inside_word }) = parts.next().unwrap() {
        assert!(!text.is_empty() && text.len() <= size);
        let after_word = joined.last().is_some_and(|byte: &u8| !byte.is_ascii_whitespace());
        assert_eq!(inside_word, after_word);
        joined.extend_from_slice(text);
        sum += Counter.tally(text, inside_word);
    }
    assert_eq!(joined, text);
    sum
}

fn word(word: impl AsRef<[u8]>, count: u64) -> Frequency {
    Frequency { word: word.as_ref().to_vec(), count }
}

#[test]
fn a_text_in_parts_counts_like_the_whole() {
    let long = "x".repeat(SIZE * 3 + 1);
    for text in [
        String::new(),
        "\n".to_owned(),
        "one".to_owned(),
        "to be or not to be\n".repeat(100),
        " \t\n\r\u{c}".repeat(SIZE),
        long.clone(),
        format!("{long} {long}\n"),
        format!("a {long} b\n{long}"),
        format!("{} {long}", "y".repeat(LONGEST_LISTED)),
    ] {
        let whole = whole(text.as_bytes());
        for size in [SIZE, SIZE + 1, SIZE + 7, SIZE * 2, SIZE * 100] {
            let sum = in_parts(text.as_bytes(), size);
            assert_eq!(sum.totals, whole.totals, "{size}: {text}");
            assert_eq!(sum.commonest(), whole.words, "{size}: {text}");
        }
    }
}

#[test]
fn a_border_may_be_anywhere() {
    for before in 0..SIZE * 2 {
        let text = format!("{}word {}", "ab ".repeat(before / 3), "x".repeat(SIZE));
        let text = &text.as_bytes()[..text.len() - before % 3];
        let (sum, whole) = (in_parts(text, SIZE), whole(text));
        assert_eq!((sum.totals, sum.commonest()), (whole.totals, whole.words), "{before}");
    }
}

#[test]
fn bytes_need_not_be_text() {
    let counts = whole(b"\xff\xfe \x00\x0bna\xefve\n\xff\xfe\n");
    assert_eq!(counts.totals, Totals { lines: 2, words: 4, bytes: 14 });
    assert_eq!(counts.words, [word(b"\xff\xfe", 2), word(b"\0", 1), word(b"na\xefve", 1)]);
}

#[test]
fn the_ten_commonest_are_listed_in_order() {
    let text: String = (1..=20).map(|n| format!("w{n:02} ").repeat(n)).collect();
    let expected: Vec<_> = (11..=20).rev().map(|n| word(format!("w{n:02}"), n)).collect();
    assert_eq!(whole(text.as_bytes()).words, expected);

    let equally_common = "m l k j i h g f e d c b a";
    let expected: Vec<_> = ('a'..='j').map(|letter| word(letter.to_string(), 1)).collect();
    assert_eq!(whole(equally_common.as_bytes()).words, expected);
}
