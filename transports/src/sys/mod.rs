//! System calls that no dependency offers in a safe form, as safe functions over `BorrowedFd`.

mod descriptors;
mod file;
mod fork;
mod inherited;
mod mapping;
pub(crate) mod message_queue;
mod mqueue;
mod pidfd;
mod pipe;
mod region;
mod segment;
mod semaphores;
mod sigpipe;
mod socket;
mod words;

pub(crate) use descriptors::recv_with_descriptors;
pub(crate) use file::{is_flocked, pread_append, try_flock};
pub(crate) use fork::ThisProcess;
pub(crate) use inherited::inherited;
pub(crate) use mapping::Mapping;
pub(crate) use mqueue::mq_receive_append;
pub(crate) use pidfd::pidfd_open;
pub(crate) use pipe::{read_append, write_without_sigpipe};
pub(crate) use region::Region;
pub(crate) use segment::{Segment, SegmentStatus, has_system_v};
pub(crate) use semaphores::Semaphores;
pub(crate) use socket::recv_append;
pub(crate) use words::Words;
