//! System V message queues: `msgget(2)`, `msgsnd(2)`, `msgrcv(2)`, `msgctl(2)`.
//!
//! A queue is named by a number that the kernel gives to another queue only after a long time: part of
//! it counts how often the place was used. A removed queue is `EIDRM` or `EINVAL` to whoever uses it.
#![allow(unsafe_code, reason = "no dependency offers these calls")]

use std::io;
use std::mem::MaybeUninit;

use nix::libc;

/// The number that a message is received by; always positive.
pub(crate) type Kind = libc::c_long;

/// The longest message that a [`Message`] holds, in bytes.
pub(crate) const CAPACITY: usize = 2048;

/// A message queue, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queue(libc::c_int);

/// A buffer for one message, laid out as the kernel wants it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Message {
    kind: Kind,
    /// One byte more than any message of ours has, so that a longer one shows.
    bytes: [u8; CAPACITY + 1],
}

/// Which message to receive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// The first one, of whatever kind.
    Any,
    /// The first one of this kind.
    Kind(Kind),
}

/// What is known of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) key: i32,
    pub(crate) owner: u32,
    pub(crate) creator: u32,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// Bytes that are in it, and that fit in.
    pub(crate) bytes: u64,
    pub(crate) capacity: u64,
    pub(crate) messages: u64,
    /// When a message was last sent and received, in seconds since 1970; 0 for never.
    pub(crate) sent_at: i64,
    pub(crate) received_at: i64,
    /// The process that last received a message; 0 for none, or one of another pid namespace.
    pub(crate) receiver: u32,
}

/// Whether this kernel has System V message queues, and lets this process use them.
pub(crate) fn are_there() -> bool {
    match Queue::find(libc::IPC_PRIVATE + 1) {
        Ok(_) => true,
        Err(error) => !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)),
    }
}

impl Queue {
    /// Makes a queue that only the own user may use, known by `key`.
    ///
    /// # Errors
    /// `EEXIST` when there is one with this key; `ENOSPC` beyond `kernel.msgmni` queues; the others of
    /// `msgget(2)`.
    pub(crate) fn create(key: i32) -> io::Result<Self> {
        Self::get(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600)
    }

    /// The queue known by `key`, whoever has made it.
    ///
    /// # Errors
    /// `ENOENT` when there is none; the others of `msgget(2)`.
    pub(crate) fn find(key: i32) -> io::Result<Self> {
        Self::get(key, 0)
    }

    fn get(key: i32, flags: libc::c_int) -> io::Result<Self> {
        // SAFETY: the call takes two numbers and touches no memory of ours.
        let id = unsafe { libc::msgget(key, flags) };
        if id < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(id)) }
    }

    /// Sends the first `length` bytes of `message`, without waiting for room.
    ///
    /// # Errors
    /// `WouldBlock` when the queue is full; `InvalidInput` when `message` has not that many bytes; the
    /// others of `msgsnd(2)`, but not `EINTR`.
    pub(crate) fn send(self, message: &Message, length: usize) -> io::Result<()> {
        if length > CAPACITY {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let start = std::ptr::from_ref(message).cast();
        loop {
            // SAFETY: `start` points to the number of a kind and `length` bytes behind it, because
            // `Message` is laid out so and has `CAPACITY >= length` bytes; the kernel only reads them.
            let sent = unsafe { libc::msgsnd(self.0, start, length, libc::IPC_NOWAIT) };
            match sent {
                0 => return Ok(()),
                _ => retry_if_interrupted()?,
            }
        }
    }

    /// Receives a message into `message`, and says how long it is. With `wait`, sleeps until there is one.
    ///
    /// A length of more than [`CAPACITY`] stands for a message that was longer, and has been cut.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `EIDRM` and `EINVAL` when the queue is gone; the others of
    /// `msgrcv(2)`, but not `EINTR` or `E2BIG`.
    pub(crate) fn receive(
        self,
        message: &mut Message,
        which: Which,
        wait: bool,
    ) -> io::Result<usize> {
        let kind = match which {
            Which::Any => 0,
            Which::Kind(kind) => kind,
        };
        // What is too long is cut, instead of staying there for ever.
        let flags = libc::MSG_NOERROR | if wait { 0 } else { libc::IPC_NOWAIT };
        let start = std::ptr::from_mut(message).cast();
        loop {
            // SAFETY: `start` points to a place for the number of a kind and one for `CAPACITY + 1`
            // bytes behind it, because `Message` is laid out so; it is exclusively borrowed, and any
            // bytes are valid in it.
            let received = unsafe { libc::msgrcv(self.0, start, CAPACITY + 1, kind, flags) };
            match usize::try_from(received) {
                Ok(length) => return Ok(length),
                Err(_negative) => retry_if_interrupted()?,
            }
        }
    }

    /// What is known of it.
    ///
    /// # Errors
    /// Those of `msgctl(2)`; `EIDRM` and `EINVAL` when it is gone.
    pub(crate) fn status(self) -> io::Result<Status> {
        let found = self.stat()?;
        Ok(Status {
            key: found.msg_perm.__key,
            owner: found.msg_perm.uid,
            creator: found.msg_perm.cuid,
            mode: u32::from(found.msg_perm.mode) & 0o777,
            bytes: found.__msg_cbytes,
            capacity: found.msg_qbytes,
            messages: found.msg_qnum,
            sent_at: found.msg_stime,
            received_at: found.msg_rtime,
            receiver: u32::try_from(found.msg_lrpid).unwrap_or(0),
        })
    }

    /// Lets it hold `capacity` bytes from now on; not more than now, without privileges.
    ///
    /// # Errors
    /// Those of `msgctl(2)`.
    pub(crate) fn set_capacity(self, capacity: u64) -> io::Result<()> {
        let mut changed = self.stat()?;
        changed.msg_qbytes = capacity;
        // SAFETY: `changed` is a whole `msqid_ds`, from which the kernel only reads.
        let set = unsafe { libc::msgctl(self.0, libc::IPC_SET, &raw mut changed) };
        if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Removes it, with what is in it, and ends every wait for it.
    ///
    /// # Errors
    /// Those of `msgctl(2)`; `EIDRM` and `EINVAL` when it is gone already.
    pub(crate) fn remove(self) -> io::Result<()> {
        // SAFETY: this command takes no buffer.
        let removed = unsafe { libc::msgctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
        if removed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn stat(self) -> io::Result<libc::msqid_ds> {
        let mut found = MaybeUninit::<libc::msqid_ds>::zeroed();
        // SAFETY: `found` has room for a `msqid_ds`, and is ours alone.
        let result = unsafe { libc::msgctl(self.0, libc::IPC_STAT, found.as_mut_ptr()) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the structure consists of numbers only, for which zeroes are values, and the kernel
        // has filled it.
        Ok(unsafe { found.assume_init() })
    }
}

impl Message {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self { kind: 1, bytes: [0; CAPACITY + 1] })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// The bytes of a received message, `None` if it was longer than any of ours.
    pub(crate) fn received(&self, length: usize) -> Option<&[u8]> {
        if length > CAPACITY { None } else { self.bytes.get(..length) }
    }

    /// The place for the bytes of a message to be sent.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..CAPACITY]
    }
}

/// `Ok` if the last call was interrupted by a signal. A message that is not there is `WouldBlock`, too.
fn retry_if_interrupted() -> io::Result<()> {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINTR) => Ok(()),
        Some(libc::ENOMSG) => Err(io::ErrorKind::WouldBlock.into()),
        _ => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    /// A queue of this test alone, and its end.
    struct Private(Queue);

    impl Private {
        fn new() -> Self {
            Self(Queue::create(libc::IPC_PRIVATE).unwrap())
        }
    }

    impl Drop for Private {
        fn drop(&mut self) {
            let _ = self.0.remove();
        }
    }

    /// Sends `length` bytes, however many.
    fn send_long(queue: Queue, length: usize) {
        let words = vec![1 as Kind; length.div_ceil(size_of::<Kind>()) + 1];
        // SAFETY: `words` holds a kind and at least `length` bytes behind it, which the kernel reads.
        let sent =
            unsafe { libc::msgsnd(queue.0, words.as_ptr().cast(), length, libc::IPC_NOWAIT) };
        assert_eq!(sent, 0);
    }

    #[test]
    fn messages_are_received_by_kind() {
        let queue = Private::new();
        let mut message = Message::new();
        for kind in [7, 8, 7] {
            message.set_kind(kind);
            message.bytes_mut()[..2].copy_from_slice(b"ab");
            queue.0.send(&message, 2).unwrap();
        }
        let mut received = Message::new();
        assert_eq!(queue.0.receive(&mut received, Which::Kind(8), false).unwrap(), 2);
        assert_eq!((received.kind(), received.received(2).unwrap()), (8, &b"ab"[..]));
        let error = queue.0.receive(&mut received, Which::Kind(8), false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(queue.0.receive(&mut received, Which::Any, true).unwrap(), 2);
        assert_eq!(queue.0.status().unwrap().messages, 1);
        assert_eq!(queue.0.status().unwrap().bytes, 2);
    }

    #[test]
    fn a_message_that_is_too_long_is_cut_and_shows() {
        let queue = Private::new();
        send_long(queue.0, 4000);
        send_long(queue.0, CAPACITY);
        let mut message = Message::new();
        let length = queue.0.receive(&mut message, Which::Any, false).unwrap();
        assert!(length > CAPACITY && message.received(length).is_none());
        let length = queue.0.receive(&mut message, Which::Any, false).unwrap();
        assert_eq!(message.received(length).unwrap().len(), CAPACITY);
        let error = queue.0.send(&message, CAPACITY + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_full_queue_would_block_and_a_closed_one_too() {
        let queue = Private::new();
        let message = Message::new();
        let sent = (0..).take_while(|_| queue.0.send(&message, 1000).is_ok()).count() as u64;
        let status = queue.0.status().unwrap();
        assert_eq!((sent, status.bytes), (status.capacity / 1000, sent * 1000));
        assert_eq!(queue.0.send(&message, 1000).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        queue.0.set_capacity(0).unwrap();
        assert_eq!(queue.0.send(&message, 0).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // What is in it stays there.
        assert_eq!(queue.0.receive(&mut Message::new(), Which::Any, false).unwrap(), 1000);
    }

    #[test]
    fn whoever_waits_learns_that_the_queue_is_gone() {
        let queue = Private::new().0;
        let other = Private::new();
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| other.0.receive(&mut Message::new(), Which::Any, true).unwrap_err());
            other.0.remove().unwrap();
            // Asleep in it, or just about to be.
            let errno = waiting.join().unwrap().raw_os_error();
            assert!(matches!(errno, Some(libc::EIDRM | libc::EINVAL)), "{errno:?}");
        });
        assert_eq!(queue.status().unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn they_are_there() {
        assert!(are_there());
    }
}
