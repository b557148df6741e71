//! Conversations that end at every point.

use crate::server::{End, Orders};
use crate::support::frame::{ANSWER, CANCEL, DATA, Frame, Hello, PING, PREFACE, counted};
use crate::victim::{Victim, attack};

/// What a client says in all: each part is something whole, the first two the greeting.
fn conversation(victim: &Victim) -> Vec<Vec<u8>> {
    let (_, hello) = victim.greeted();
    let number = |method| crate::support::raw::number(&hello, method);
    let large = counted(&[7; 65_600]);
    let (first, rest) = large.split_at(100);
    vec![
        PREFACE.to_vec(),
        Hello::default().frame().to_bytes(),
        Frame::call(number("add"), 1, &[2, 3]).to_bytes(),
        Frame::new(PING, 3).to_bytes(),
        [
            Frame::beginning(number("echo"), 2, large.len() as u64, first).to_bytes(),
            Frame::fragment(2, &rest[..65_400]).to_bytes(),
            Frame::new(CANCEL, 9).to_bytes(),
            Frame::fragment(2, &rest[65_400..]).to_bytes(),
        ]
        .concat(),
        Frame::call(number("text"), 4, b"\x05hello").to_bytes(),
    ]
}

/// Where to cut: everywhere, but not at every byte of a long part's middle.
fn cuts(parts: &[Vec<u8>]) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut at = 0;
    for part in parts {
        let dull = 160..part.len().saturating_sub(300);
        cuts.extend((0..part.len()).filter(|i| !dull.contains(i) || i % 8191 == 0).map(|i| at + i));
        at += part.len();
    }
    cuts.push(at);
    cuts
}

#[test]
fn a_conversation_may_be_cut_at_any_point() {
    attack(&Orders::default(), |victim| {
        victim.tolerates = is_unheard;
        let parts = conversation(victim);
        let whole = parts.concat();
        let greeting = parts[0].len() + parts[1].len();
        let ends: Vec<_> = parts
            .iter()
            .scan(0, |at, part| {
                *at += part.len();
                Some(*at)
            })
            .collect();
        for cut in cuts(&parts) {
            let mut raw = victim.raw();
            raw.write(&whole[..cut]);
            raw.finish();
            let said = raw.rest();
            if cut < greeting {
                assert_eq!(said, b"", "cut at {cut}");
                assert_end(victim, "it closed the connection in the handshake");
            } else if !ends.contains(&cut) {
                assert_end(victim, "in the middle of a message");
            }
        }
        let counts = victim.counts();
        assert_eq!((counts.violations, counts.refused, counts.stalled), (0, 0, 0));
    });
}

/// A client that closes between two messages may do so before it has been sent all answers.
fn is_unheard(end: &End) -> bool {
    end.kind == "PeerGone" && end.text.contains("without reading all answers")
}

/// Checks how the next connection ended that was cut within something.
fn assert_end(victim: &mut Victim, text: &str) {
    let end = std::iter::repeat_with(|| victim.end()).find(|end| !is_unheard(end)).unwrap();
    assert!(end.kind == "PeerGone" && end.text.contains(text), "{end:?}, not {text:?}");
}

#[test]
fn a_conversation_may_come_byte_by_byte() {
    attack(&Orders::default(), |victim| {
        let parts = conversation(victim);
        let mut raw = victim.raw();
        for part in &parts {
            // All of the short parts, and the ends of the long one.
            let (head, rest) = part.split_at(part.len().min(200));
            let (body, tail) = rest.split_at(rest.len().saturating_sub(200));
            head.iter().for_each(|byte| raw.write(&[*byte]));
            raw.write(body);
            tail.iter().for_each(|byte| raw.write(&[*byte]));
        }
        raw.hello();
        let mut answered = Vec::new();
        while answered.len() < 4 {
            let frame = raw.frame().unwrap();
            match frame.kind {
                DATA => {}
                PING if frame.flags == 0 => raw.send(&frame.with_flags(ANSWER)),
                _ => answered.push(frame.id),
            }
        }
        answered.sort_unstable();
        assert_eq!(answered, [1, 2, 3, 4]);
    });
}
