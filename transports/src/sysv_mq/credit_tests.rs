#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;

/// With the limits that Linux has where nobody has changed them.
fn usual() -> Sizes {
    Sizes::of(16_361, 8192).unwrap()
}

#[test]
fn the_usual_sizes_are_as_documented() {
    let Sizes { base, pool, window, message } = usual();
    assert_eq!((base, pool, window, message), (368, 6_377, 5_456, 2_048));
    assert_eq!(LOBBY + SLOTS * (NEWS + base) + pool, 16_361);
    let mut pool = Pool::new(pool);
    let mut borrowed = [0; 2];
    for turn in 0..100 {
        pool.lend(&mut borrowed[turn % 2], 0);
        pool.lend(&mut borrowed[turn % 2], usize::MAX);
    }
    assert!(borrowed.iter().all(|one| (3_190..3_210).contains(&(base + one))), "{borrowed:?}");
}

#[test]
fn limits_that_are_too_low_are_named() {
    let error = Sizes::of(8_191, 8192).unwrap_err();
    assert!(error.contains("8191 bytes (kernel.msgmnb), and 8192 are needed"), "{error}");
    assert_eq!(Sizes::of(8_192, 8192).unwrap().pool, 0);
    let error = Sizes::of(16_384, 255).unwrap_err();
    assert!(error.contains("255 bytes (kernel.msgmax), and 256 are needed"), "{error}");
    assert_eq!(Sizes::of(16_384, 1000).unwrap().message, 1000);
}

#[test]
fn one_connection_leaves_something_for_the_next() {
    let mut pool = Pool::new(1000);
    let mut borrowed = [0; 4];
    for one in &mut borrowed {
        pool.lend(one, usize::MAX);
    }
    assert_eq!(borrowed, [800, 160, 32, 4]);
    // What is in use is not taken back, but what was given back is lent again.
    pool.lend(&mut borrowed[0], 900);
    assert_eq!(borrowed[0], 800);
    pool.lend(&mut borrowed[0], 0);
    pool.lend(&mut borrowed[1], usize::MAX);
    assert_eq!(borrowed[1], (1000 - 36) / 5 * 4);
}

#[test]
fn credit_is_used_and_given_back() {
    let mut sending = Sending::default();
    sending.begin(100);
    assert_eq!((sending.room(usize::MAX), sending.room(60)), (100, 60));
    sending.sent(70, true, None);
    assert_eq!((sending.room(usize::MAX), sending.in_queue()), (30, 70));
    sending.acknowledge(50).unwrap();
    assert_eq!((sending.room(usize::MAX), sending.in_queue()), (30, 20));
    sending.grant(10, None);
    assert_eq!(sending.room(usize::MAX), 50 + 160 - 70);
    // Less than was granted before is no news.
    sending.grant(0, None);
    assert_eq!(sending.room(usize::MAX), 50 + 160 - 70);
}

#[test]
fn what_was_lent_lapses_at_the_end_of_what_was_to_be_sent() {
    let mut sending = Sending::default();
    sending.begin(100);
    sending.grant(100, Some(100));
    sending.sent(300, true, Some(100));
    assert_eq!(sending.room(usize::MAX), 1300);
    sending.sent(300, false, Some(100));
    assert_eq!(sending.room(usize::MAX), 0);
    // Said before the end was known: the base is all that counts.
    sending.acknowledge(300).unwrap();
    sending.grant(100, Some(100));
    assert_eq!(sending.room(usize::MAX), 0);
    sending.acknowledge(600).unwrap();
    sending.grant(100, Some(100));
    assert_eq!(sending.room(usize::MAX), 1600);
}

#[test]
fn what_cannot_be_is_noticed() {
    let mut sending = Sending::default();
    sending.begin(100);
    sending.sent(70, true, None);
    sending.acknowledge(70).unwrap();
    // Going back is going forward by nearly 2^32.
    for wrong in [71, 69, 0, u32::MAX] {
        assert!(sending.acknowledge(wrong).is_err(), "{wrong}");
    }
    let mut receiving = Receiving::default();
    receiving.extend(100);
    receiving.received(60, true, false, None).unwrap();
    assert!(receiving.received(41, true, false, None).is_err());
    receiving.received(40, true, false, None).unwrap();
}

#[test]
fn numbers_go_beyond_32_bits() {
    let mut sending = Sending { total: u64::from(u32::MAX) - 10, ..Sending::default() };
    sending.taken = sending.total;
    sending.grant(u16::MAX, None);
    sending.sent(100, true, None);
    sending.acknowledge(low(sending.total())).unwrap();
    assert_eq!((sending.in_queue(), sending.total() > u64::from(u32::MAX)), (0, true));
}

#[test]
fn credit_is_told_of_when_somebody_waits_for_it() {
    let base = 368;
    let mut receiving = Receiving::default();
    receiving.extend(10_000);
    receiving.told();
    receiving.received(base, false, false, None).unwrap();
    assert!(!receiving.is_missing(base));
    receiving.received(1, false, false, None).unwrap();
    assert!(receiving.is_missing(base));
    assert!(!receiving.is_awaited(base));
    receiving.starves();
    assert!(receiving.is_awaited(base));
    receiving.told();
    assert!(!receiving.is_awaited(base) && !receiving.is_missing(base));
    receiving.extend(20_000);
    assert!(receiving.is_awaited(base), "there is more credit");
}
