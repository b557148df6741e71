//! `mq_receive(3)` into the unused capacity of a vector, which safe wrappers would have zeroed first.
#![allow(unsafe_code, reason = "the buffer that the kernel fills is not initialised")]

use std::os::fd::AsRawFd;
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::mqueue::MqdT;

/// Takes the next message from `queue` and appends it to `buffer`, within its capacity; says how many
/// bytes it has, which may be none. Blocks only if `queue` does.
///
/// # Errors
/// What `mq_receive(3)` reports, never `EINTR`; `EMSGSIZE` when `room`, or the unused capacity, is less
/// than the queue's largest message.
pub(crate) fn mq_receive_append(
    queue: &MqdT,
    buffer: &mut Vec<u8>,
    room: usize,
) -> nix::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let room = room.min(spare.len());
    let start = spare.as_mut_ptr().cast();
    let count = loop {
        // SAFETY: `start` points to at least `room` bytes, because `room <= spare.len()`; they are
        // exclusively borrowed through `buffer`, and the kernel only writes to them. A null priority is
        // allowed.
        let received = unsafe { libc::mq_receive(queue.as_raw_fd(), start, room, ptr::null_mut()) };
        match usize::try_from(received) {
            Ok(count) => break count,
            Err(_negative) => match Errno::last() {
                Errno::EINTR => {}
                errno => return Err(errno),
            },
        }
    };
    let filled = buffer.len() + count;
    // SAFETY: `filled <= capacity`, because `count <= room <= spare.len()`, and the kernel has just
    // initialised the `count` bytes after the old length.
    unsafe { buffer.set_len(filled) };
    Ok(count)
}
