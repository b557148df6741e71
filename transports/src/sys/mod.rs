//! System calls that no dependency offers in a safe form, as safe functions over `BorrowedFd`.

mod inherited;
mod pidfd;
mod pipe;
mod sigpipe;
mod socket;

pub(crate) use inherited::inherited;
pub(crate) use pidfd::{pidfd_open, pidfd_send_signal};
pub(crate) use pipe::{read_append, write_without_sigpipe};
pub(crate) use socket::recv_append;
