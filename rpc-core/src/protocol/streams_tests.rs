//! Both ends of a stream's direction: nothing is lost, nobody is stuck, and nobody holds more than a window.

use proptest::prelude::*;

use super::{Allowance, Arrived, Batch, LENGTH, Window};
use crate::protocol::incoming::Violation;
use crate::wire::frame::Credit;

const WINDOW: Window = Window { bytes: 64, items: 4 };

fn item(bytes: &[u8]) -> Vec<u8> {
    let mut item = (bytes.len() as u32).to_le_bytes().to_vec();
    item.extend_from_slice(bytes);
    item
}

fn what(result: Result<(), Violation>) -> &'static str {
    match result {
        Err(Violation::Stream { what, id: 7 }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_bytes_than_the_window_are_a_violation() {
    let mut arrived = Arrived::new(WINDOW);
    arrived.push(7, &item(&[1; 59])).expect("it fits");
    assert_eq!(what(arrived.push(7, &[0; 2])), "more bytes than were granted");
}

#[test]
fn more_items_than_the_window_are_a_violation_however_small() {
    let mut arrived = Arrived::new(WINDOW);
    arrived.push(7, &item(&[]).repeat(4)).expect("four fit");
    assert_eq!(what(arrived.push(7, &[0])), "more items than were granted");
}

#[test]
fn an_item_that_can_never_be_whole_is_a_violation() {
    let mut arrived = Arrived::new(WINDOW);
    assert_eq!(what(arrived.push(7, &61_u32.to_le_bytes())), "an item larger than its window");
    let mut arrived = Arrived::new(WINDOW);
    arrived.push(7, &item(&[0; 60])).expect("the largest");
    assert!(arrived.is_whole());
}

#[test]
fn what_was_taken_is_granted_when_it_is_done_with() {
    let mut arrived = Arrived::new(WINDOW);
    arrived.push(7, &item(&[9; 40])).expect("it fits");
    let mut batch = Batch::default();
    assert!(arrived.take(&mut batch.bytes));
    assert_eq!(arrived.grant(), None, "it may still be held");
    assert_eq!(batch.next_item(), Some(&[9; 40][..]));
    assert!(!arrived.take(&mut batch.bytes));
    assert_eq!(arrived.grant(), Some(Credit { bytes: 44, items: 1 }));
    assert_eq!(arrived.grant(), None);
}

#[test]
fn an_item_that_has_begun_gets_the_room_that_it_needs() {
    let mut arrived = Arrived::new(WINDOW);
    arrived.push(7, &item(&[1; 10])).expect("it fits");
    let large = item(&[2; 60]);
    arrived.push(7, &large[..50]).expect("as much as there is room for");
    let mut batch = Vec::new();
    assert!(arrived.take(&mut batch) && !arrived.take(&mut batch));
    assert_eq!(arrived.grant(), Some(Credit { bytes: 14, items: 1 }));
    arrived.push(7, &large[50..]).expect("the rest");
    assert!(arrived.take(&mut batch));
    assert_eq!(batch, large);
}

#[test]
fn credit_that_cannot_be_counted_is_as_much_as_can() {
    let mut allowance = Allowance::new(WINDOW);
    allowance.grant(Credit { bytes: u32::MAX, items: 0 });
    assert_eq!(allowance.take(), Credit { bytes: u32::MAX, items: WINDOW.items });
}

proptest! {
    /// A sender that sends whatever it may, in pieces of any size, to a receiver that takes now and then.
    #[test]
    fn all_items_arrive_in_order_within_a_window(
        sizes in prop::collection::vec(0_usize..=60, 1..40),
        cuts in prop::collection::vec(1_usize..80, 1..20),
    ) {
        let items: Vec<Vec<u8>> =
            sizes.iter().enumerate().map(|(n, size)| vec![n as u8; *size]).collect();
        let starts: Vec<usize> = items
            .iter()
            .scan(0, |at, item| { let start = *at; *at += LENGTH + item.len(); Some(start) })
            .collect();
        let all: Vec<u8> = items.iter().flat_map(|bytes| item(bytes)).collect();
        let (mut arrived, mut allowance) = (Arrived::new(WINDOW), Allowance::new(WINDOW));
        let (mut sent, mut left) = (0, Credit::default());
        let (mut got, mut batch, mut idle) = (Vec::new(), Batch::default(), 0);
        let mut cuts = cuts.iter().cycle();
        while got.len() < items.len() {
            let more = allowance.take();
            left = Credit { bytes: left.bytes + more.bytes, items: left.items + more.items };
            // As far as the items that it may begin go, and not further than the bytes.
            let begun = starts.iter().filter(|start| **start < sent).count();
            let end = starts.get(begun + left.items as usize).copied().unwrap_or(all.len());
            let cut = *cuts.next().expect("endless");
            let to = end.min(sent + (left.bytes as usize).min(cut));
            left.bytes -= (to - sent) as u32;
            left.items -= (starts.iter().filter(|start| **start < to).count() - begun) as u32;
            arrived.push(7, &all[sent..to]).expect("it was allowed");
            idle = if to == sent { idle + 1 } else { 0 };
            sent = to;
            // Nobody looks before there is something to do.
            if !arrived.is_due() || (cut % 3 > 0 && idle == 0) {
                prop_assert!(idle < 100, "stuck at {sent} of {}", all.len());
                continue;
            }
            // Whoever looks takes all there is before it waits again.
            loop {
                let taken = arrived.take(&mut batch.bytes);
                batch.rewind();
                prop_assert!(arrived.bytes.len() + batch.bytes.len() <= WINDOW.bytes as usize);
                if let Some(credit) = arrived.grant() {
                    allowance.grant(credit);
                }
                if !taken {
                    break;
                }
                while let Some(bytes) = batch.next_item() {
                    got.push(bytes.to_vec());
                }
                prop_assert!(batch.is_done());
            }
        }
        prop_assert_eq!(got, items);
    }
}
