//! A queue by its descriptor: created to a shape that fits, opened and checked, written and read, and
//! marked as ended.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::mqueue::{
    MQ_OFlag, MqAttr, MqdT, mq_attr_member_t, mq_close, mq_getattr, mq_open, mq_send, mq_unlink,
};
use nix::sys::eventfd::EventFd;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{geteuid, getuid};

use crate::sys;

/// What the kernel charges for each message that a queue may hold, beside its bytes: a `struct msg_msg`
/// and a `struct posix_msg_tree_node` (measured: 96 bytes on 64-bit Linux 6).
const OVERHEAD: usize = 96;

/// The largest shape that a peer's queue may have, so that reading it takes little memory.
const LARGEST: Shape = Shape { messages: 1024, size: 64 << 10 };

const OWN_USER: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// Set when one side has ended its part. It grants nothing: queues are not executed.
const ENDED: Mode = Mode::S_IXUSR;

/// How many messages a queue holds, and how many bytes each may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) messages: usize,
    pub(super) size: usize,
}

impl Shape {
    /// The bytes that a queue of this shape takes of `RLIMIT_MSGQUEUE`, however full it is.
    pub(super) const fn cost(self) -> usize {
        self.messages * (self.size + OVERHEAD)
    }

    /// The part of it that this machine allows.
    fn within(self, largest: Self) -> Self {
        Self { messages: self.messages.min(largest.messages), size: self.size.min(largest.size) }
    }

    fn attributes(self) -> MqAttr {
        // Never too large: `LARGEST` fits into 32 bits.
        let number = |value| mq_attr_member_t::try_from(value).unwrap_or(mq_attr_member_t::MAX);
        MqAttr::new(0, number(self.messages), number(self.size), 0)
    }
}

/// Which end of a queue is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Reading,
    Writing,
}

impl End {
    fn flags(self) -> MQ_OFlag {
        // The flag belongs to the open file description, and nobody else has this one.
        let flags = MQ_OFlag::O_NONBLOCK | MQ_OFlag::O_CLOEXEC;
        match self {
            Self::Reading => flags | MQ_OFlag::O_RDONLY,
            Self::Writing => flags | MQ_OFlag::O_WRONLY,
        }
    }
}

/// One end of a queue, which never blocks. Dropping it closes the descriptor and nothing else.
pub(super) struct Queue(Option<MqdT>);

impl Queue {
    /// Makes the queue `name`, which nobody has yet, for the own user alone, in the shape `wanted` or as
    /// much of it as this machine allows.
    pub(super) fn create(name: &str, end: End, wanted: Shape) -> nix::Result<Self> {
        let flags = end.flags() | MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL;
        let made = match mq_open(name, flags, OWN_USER, Some(&wanted.attributes())) {
            Err(Errno::EINVAL) => {
                let largest = largest_allowed().ok_or(Errno::EINVAL)?;
                mq_open(name, flags, OWN_USER, Some(&wanted.within(largest).attributes()))
            }
            made => made,
        };
        let queue = Self(Some(made?));
        // The umask may have taken bits away.
        if let Err(errno) = fchmod(&queue, OWN_USER) {
            let _ = mq_unlink(name);
            return Err(errno);
        }
        Ok(queue)
    }

    /// Opens one end of the queue `name`, if it is one of the own user for the own user alone.
    ///
    /// # Errors
    /// `EACCES` for somebody else's; those of `mq_open(3)`.
    pub(super) fn open(name: &str, end: End) -> nix::Result<Self> {
        let queue = Self(Some(mq_open(name, end.flags(), Mode::empty(), None)?));
        let status = fstat(&queue)?;
        let is_private = status.st_mode & 0o077 == 0;
        if status.st_uid != geteuid().as_raw() || !is_private {
            return Err(Errno::EACCES);
        }
        Ok(queue)
    }

    /// How many messages of how many bytes it holds at the most.
    ///
    /// # Errors
    /// `EMSGSIZE` when that is more than anybody here makes.
    pub(super) fn shape(&self) -> nix::Result<Shape> {
        let attributes = mq_getattr(self.descriptor())?;
        let number = |value| usize::try_from(value).map_err(|_| Errno::EMSGSIZE);
        let shape =
            Shape { messages: number(attributes.maxmsg())?, size: number(attributes.msgsize())? };
        if shape.within(LARGEST) == shape { Ok(shape) } else { Err(Errno::EMSGSIZE) }
    }

    /// How many messages are in it.
    pub(super) fn waiting(&self) -> nix::Result<usize> {
        let waiting = mq_getattr(self.descriptor())?.curmsgs();
        Ok(usize::try_from(waiting).unwrap_or_default())
    }

    /// Sends one message, which may be empty; `EAGAIN` when the queue is full.
    pub(super) fn send(&self, message: &[u8]) -> nix::Result<()> {
        loop {
            match mq_send(self.descriptor(), message, 0) {
                Err(Errno::EINTR) => {}
                sent => return sent,
            }
        }
    }

    /// Fills a new queue with empty messages, so that nothing else can be written before they are
    /// [taken out](Self::clear).
    pub(super) fn fill(&self) -> nix::Result<()> {
        loop {
            match self.send(&[]) {
                Ok(()) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Takes out what a queue of this shape was filled with, and nothing that was written later.
    pub(super) fn clear(&self, shape: Shape) {
        let mut message = Vec::with_capacity(shape.size);
        for _ in 0..shape.messages {
            message.clear();
            // It was not full, against the rule: then nothing is to be taken out.
            if self.receive_append(&mut message, shape.size).is_err() {
                break;
            }
        }
    }

    /// Takes one message and appends it; `EAGAIN` when there is none. `room` is at least the size that
    /// the queue was made for.
    pub(super) fn receive_append(&self, buffer: &mut Vec<u8>, room: usize) -> nix::Result<usize> {
        sys::mq_receive_append(self.descriptor(), buffer, room)
    }

    /// Leaves word for the other side that this one has ended, which a full queue has no room for.
    pub(super) fn mark_ended(&self) {
        // It is our own queue, so this cannot fail; if it did, the other side would take the end of this
        // process for a death.
        let _ = fchmod(self, OWN_USER | ENDED);
    }

    /// Whether the other side has left word that it has ended.
    pub(super) fn is_marked_ended(&self) -> nix::Result<bool> {
        Ok(fstat(self)?.st_mode & ENDED.bits() != 0)
    }

    fn descriptor(&self) -> &MqdT {
        self.0.as_ref().expect("it is taken only when this is dropped")
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor().as_fd()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(descriptor) = self.0.take() {
            // It cannot fail for a descriptor that is open.
            let _ = mq_close(descriptor);
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.as_fd()).finish()
    }
}

/// Removes the name of a queue, if it is one of the own user. Whoever has it open keeps it.
pub(super) fn remove_own(name: &str) {
    if Queue::open(name, End::Reading).is_ok() {
        // Who comes second finds nothing.
        let _ = mq_unlink(name);
    }
}

/// Why a queue could not be made, when `needed` bytes of queues were to be.
pub(super) fn explain_creation(errno: Errno, needed: usize, queues: u64) -> RpcError {
    let quota = |what, limit, needed| ErrorKind::QuotaExceeded { what, limit, needed };
    let kind = match errno {
        // It stands for two limits, and only one of them concerns other descriptors.
        Errno::EMFILE if EventFd::new().is_ok() => quota(
            format!(
                "bytes that the POSIX message queues of uid {} may take (RLIMIT_MSGQUEUE, which \
                 `ulimit -q` raises)",
                getuid()
            ),
            getrlimit(Resource::RLIMIT_MSGQUEUE).map_or(0, |(soft, _)| soft),
            needed as u64,
        ),
        Errno::ENOSPC => quota(
            "POSIX message queues that there may be (fs.mqueue.queues_max)".to_owned(),
            sysctl("queues_max").unwrap_or_default(),
            queues,
        ),
        Errno::ENOSYS => ErrorKind::InvalidEndpoint {
            reason:
                "this kernel has no POSIX message queues: choose another transport, for example \
                     unix:"
                    .to_owned(),
        },
        errno => return RpcError::io("making a POSIX message queue", errno.into()),
    };
    RpcError::not_executed(kind)
}

/// Whether the kernel has POSIX message queues.
pub(super) fn are_offered() -> bool {
    // A name that nobody has: queues either are not there at all, or this one is not.
    Queue::open("/ipcall-is-there", End::Reading).err() != Some(Errno::ENOSYS)
}

/// The largest queue that may be made without privileges.
fn largest_allowed() -> Option<Shape> {
    let number = |name| usize::try_from(sysctl(name)?).ok();
    Some(Shape { messages: number("msg_max")?, size: number("msgsize_max")? })
}

fn sysctl(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}")).ok()?.trim().parse().ok()
}
