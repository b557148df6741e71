//! A process that is watched for its end, for transports whose mechanism does not tell of it.
//!
//! System calls: `pidfd_open(2)`, `poll(2)`. A number can be given to another process once its owner
//! has ended, so whoever opens one has to make sure afterwards that the process meant still lives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipcall_core::transport::Pidfd;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys;

/// A process, by a descriptor that becomes readable when it ends, and stays so.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    descriptor: OwnedFd,
}

impl Process {
    /// The process that has this number now; `None` if there is none.
    pub(crate) fn open(id: u32) -> io::Result<Option<Self>> {
        match sys::pidfd_open(id) {
            Ok(descriptor) => Ok(Some(Self { id, descriptor })),
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Another descriptor for it, to be signalled by; `None` if the process has none left.
    pub(crate) fn pidfd(&self) -> Option<Pidfd> {
        self.descriptor.try_clone().ok().map(Pidfd::from)
    }

    /// Whether it has ended, also if nobody has waited for it yet.
    pub(crate) fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        // An error can only be a passing one: it is looked at again.
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// The process that has this number now, for a client that is about to greet a server which is known to have had it.
///
/// That it is still the server shows later, by its `Hello`: that is sent in answer to the client's, so after this, and names
/// the number again; and as long as a process lives no other has its number. `None` where there is none, or no pidfds.
pub(crate) fn pidfd(pid: u32) -> Option<Pidfd> {
    sys::pidfd_open(pid).ok().map(Pidfd::from)
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
