//! System calls that no dependency offers in a safe form, as safe functions over `BorrowedFd`.

pub(crate) mod message_queue;
mod pidfd;
mod socket;

pub(crate) use pidfd::pidfd_open;
pub(crate) use socket::recv_append;
