//! System calls that no dependency offers in a safe form, as safe functions over `BorrowedFd`.

mod pipe;
mod sigpipe;
mod socket;

pub(crate) use pipe::{read_append, write_without_sigpipe};
pub(crate) use socket::recv_append;
