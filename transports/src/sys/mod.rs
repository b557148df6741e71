//! System calls that no dependency offers in a safe form, as safe functions over `BorrowedFd`.

mod socket;

pub(crate) use socket::recv_append;
