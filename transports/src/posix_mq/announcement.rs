//! What a client says in the rendezvous queue, and that queue's name and shape.

use super::queue::Shape;

const SIZE: usize = 24;

/// As many as a queue may hold without privileges. If it is full, its server looks at the table.
pub(super) const RENDEZVOUS: Shape = Shape { messages: 10, size: SIZE };

/// The name of the rendezvous queue of the server start `nonce`.
pub(super) fn rendezvous(nonce: u128) -> String {
    format!("/ipcall-{nonce:032x}")
}

/// "The queues of this id are there, for the server start with this nonce."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) nonce: u128,
    pub(super) id: u64,
}

impl Announcement {
    pub(super) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..16].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[16..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    /// `None` for any other message.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let message: &[u8; SIZE] = message.try_into().ok()?;
        let (nonce, id) = message.split_first_chunk::<16>()?;
        let id = u64::from_le_bytes(id.try_into().ok()?);
        Some(Self { nonce: u128::from_le_bytes(*nonce), id })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_read_as_it_was_written() {
        let announcement = Announcement { nonce: 1 << 127 | 5, id: 1 << 63 | 7 };
        assert_eq!(Announcement::parse(&announcement.to_bytes()), Some(announcement));
    }

    #[test]
    fn other_messages_announce_nothing() {
        for size in (0..60).filter(|size| *size != SIZE) {
            assert_eq!(Announcement::parse(&vec![0; size]), None);
        }
    }
}
