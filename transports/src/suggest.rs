//! "Did you mean ...?" for error messages.

/// The one of `known` that `word` was most likely meant to be, if any is near enough: at most one
/// slip (a letter wrong, missing, too much, or two swapped) for every three letters.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean `x`?`, or nothing.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// Damerau-Levenshtein distance (optimal string alignment), without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_slip_is_recognised() {
        let known = ["mem", "unix", "tcp"];
        assert_eq!(closest("unxi", known), Some("unix"));
        assert_eq!(closest("TCP", known), Some("tcp"));
        assert_eq!(closest("mm", known), Some("mem"));
    }

    #[test]
    fn a_different_word_is_not_suggested() {
        assert_eq!(closest("https", ["mem", "unix", "tcp"]), None);
        assert_eq!(closest("", ["mem"]), None);
    }
}
