//! System calls that no dependency offers in a safe form, as safe functions over `BorrowedFd`.

mod descriptors;
mod file;
mod fork;
mod inherited;
mod pidfd;
mod pipe;
mod region;
mod sigpipe;
mod socket;

pub(crate) use descriptors::recv_with_descriptors;
pub(crate) use file::{is_flocked, pread_append, try_flock};
pub(crate) use fork::ThisProcess;
pub(crate) use inherited::inherited;
pub(crate) use pidfd::{pidfd_open, pidfd_send_signal};
pub(crate) use pipe::{read_append, write_without_sigpipe};
pub(crate) use region::Region;
pub(crate) use socket::recv_append;
