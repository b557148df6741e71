//! System calls that no dependency offers in a safe form, as safe functions over `BorrowedFd`.

mod mqueue;
mod pidfd;
mod socket;

pub(crate) use mqueue::mq_receive_append;
pub(crate) use pidfd::pidfd_open;
pub(crate) use socket::recv_append;
