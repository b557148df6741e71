//! How fast large messages go while small frames go between their fragments.
//!
//! A small frame waits behind whatever the peer has not read yet, and a transport takes in as much as it
//! has room for: half a megabyte, or thirty. So in company a large message goes on only as the peer
//! reads it, which the peer shows by answering pings: one stands before each fragment, and the next
//! fragment waits for its answer. Alone, a large message goes as fast as the transport takes it.
//!
//! Sans-IO, and only advice: a peer that answers too soon, or never, delays nobody's messages but its own.

/// Fragments after the last small frame that still count as being in company.
const COMPANY: u32 = 16;

/// Bytes of a fragment in company. At most two of them are on their way at a time.
pub(super) const FRAGMENT_IN_COMPANY: usize = 32 << 10;

/// The pace of one direction.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Whether the peer's answers can be waited for, because someone reads them.
    on: bool,
    /// Fragments that still count as being in company.
    company: u32,
    /// Pings that were sent. Their ids count from 1.
    pings: u64,
    /// The last one that was answered.
    answered: u64,
}

impl Pace {
    /// Whether the next fragment may go now.
    pub(super) fn may_go(&self) -> bool {
        !self.is_kept() || self.answered == self.pings
    }

    /// Whether fragments are in company, and someone reads the answers.
    pub(super) fn is_kept(&self) -> bool {
        self.on && self.company > 0
    }

    /// Whether the last fragments had the direction to themselves.
    pub(super) fn is_alone(&self) -> bool {
        self.company == 0
    }

    /// A small frame goes.
    pub(super) fn note_company(&mut self) {
        self.company = COMPANY;
    }

    /// A fragment goes. Gives the id of the ping that has to stand before it, if one has to.
    pub(super) fn begin_fragment(&mut self) -> Option<u64> {
        let ping = self.is_kept().then_some(self.pings + 1);
        self.pings = ping.unwrap_or(self.pings);
        self.company = self.company.saturating_sub(1);
        ping
    }

    /// Keeps the pace, or no longer, and says which ping the peer has answered last. One that was never
    /// sent is none.
    pub(super) fn update(&mut self, on: bool, answered: u64) {
        self.on = on;
        if answered <= self.pings {
            self.answered = self.answered.max(answered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Pace {
        let mut pace = Pace::default();
        pace.update(true, 0);
        pace.note_company();
        pace
    }

    #[test]
    fn each_fragment_in_company_waits_for_the_ping_before_it() {
        let mut pace = kept();
        for ping in 1..5 {
            assert!(pace.may_go());
            assert_eq!(pace.begin_fragment(), Some(ping));
            assert!(!pace.may_go());
            pace.update(true, ping);
        }
    }

    #[test]
    fn company_is_over_some_fragments_after_the_last_small_frame() {
        let mut pace = kept();
        for ping in 1..=u64::from(COMPANY) {
            assert!(!pace.is_alone());
            assert_eq!(pace.begin_fragment(), Some(ping));
            pace.update(true, ping);
        }
        assert!(pace.is_alone() && pace.may_go());
        assert_eq!(pace.begin_fragment(), None);
    }

    #[test]
    fn nothing_is_waited_for_when_nobody_reads_the_answers() {
        let mut pace = kept();
        assert_eq!(pace.begin_fragment(), Some(1));
        pace.update(false, 0);
        assert!(pace.may_go());
        assert_eq!(pace.begin_fragment(), None);
        // What was asked before is still owed.
        pace.update(true, 0);
        assert!(!pace.may_go());
    }

    #[test]
    fn answers_to_what_was_not_asked_are_none() {
        let mut pace = kept();
        assert_eq!(pace.begin_fragment(), Some(1));
        pace.update(true, 2);
        assert!(!pace.may_go());
        pace.update(true, u64::MAX);
        assert!(!pace.may_go());
        pace.update(true, 1);
        assert!(pace.may_go());
    }
}
