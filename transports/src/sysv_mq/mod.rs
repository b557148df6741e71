//! `sysv-mq:/absolute/path`: System V message queues, found by a key file in a private directory.
//!
//! - System calls: `msgget(2)`, `msgsnd(2)`, `msgrcv(2)`, `msgctl(2)`; `pidfd_open(2)`, `epoll_create1(2)`,
//!   `epoll_ctl(2)`, `eventfd(2)`; record locks (`fcntl(2)`); those of the directory.
//! - Limits: 1,024 clients of a server, 16 to a pair of queues; 64 pairs, of the `kernel.msgmni` (32,000)
//!   queues that there may be altogether. A queue holds `kernel.msgmnb` bytes (16,384), a message at most
//!   2,048 or `kernel.msgmax` (8,192). In each queue a connection always may have 368 bytes, and up to
//!   5,456 as long as the others leave room (module `credit`); 128 KiB are kept for an owner who does not read.
//! - Threads: in a server one for each pair of queues, in a client one for each connection. They sleep
//!   in `msgrcv(2)`, and end with the last user.
//! - Leaves behind: a killed server its key file and its queues, which the next server at the same path
//!   removes once it has found that nobody holds the file's lock and that the queues are its own; and the
//!   directory, if the server had made it. Of a server that was killed after it had given up its name, the next
//!   server of the same user at any path removes them (module `queues`).
//! - Not for: other users, because the kernel does not say who has sent a message; sides in different IPC
//!   or pid namespaces (containers); anything that is to be fast, because each message wakes a thread that
//!   wakes another.
//!
//! Both sides have to run as the same user: the directory has mode 0700, the key file and the queues 0600.
//!
//! A connection is a number, given out by the server and never given out again, which is the `mtype` of its
//! messages: one queue takes the requests of all clients, the other the replies to all. The modules from
//! the system upwards: `queues`; `frame` (what is in a message), `credit` and `books` (who may
//! send how much), `state` (one end of a connection), `link` (the same with its halves); `client`; and of
//! the server `pair` (two queues and their thread), `lobby` (who comes in), `listener`.

mod books;
mod client;
mod credit;
mod crowd;
mod frame;
mod gather;
mod link;
mod listener;
mod lobby;
mod pair;
mod queues;
mod state;

pub(crate) use client::connect;
pub(crate) use listener::Listener;

use crate::key_file::Title;
use crate::sys::message_queue;

/// What the key files of this transport begin with.
const TITLE: Title = Title("ipcall sysv-mq 1");

/// Whether this kernel offers System V message queues.
pub(crate) fn is_available() -> bool {
    message_queue::are_there()
}

/// A number that nobody can guess: seeded by the system, and different at each call.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests;
