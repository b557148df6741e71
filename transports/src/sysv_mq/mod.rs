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
//! the system upwards: `queues` and `key_file`; `frame` (what is in a message), `credit` and `books` (who may
//! send how much), `state` (one end of a connection), `link` (the same with its halves); `client`; and of
//! the server `pair` (two queues and their thread), `lobby` (who comes in), `listener`.

mod books;
mod client;
mod credit;
mod crowd;
mod frame;
mod gather;
mod key_file;
mod link;
mod listener;
mod lobby;
mod pair;
mod queues;
mod state;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

pub(crate) use client::connect;
pub(crate) use listener::Listener;

use crate::endpoint::{Parts, percent};
use crate::sys::message_queue;

/// Where the key file lies: a directory and a name in it.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
}

/// Understands the path of a key file.
pub(crate) fn parse(parts: &Parts<'_>) -> Result<Address, String> {
    let bytes = parts.rest()?;
    let example = "sysv-mq:/run/user/1000/wordcount/key";
    match bytes.first() {
        None => return Err(format!("a path is missing: write for example {example}")),
        Some(b'/') => {}
        Some(_) => return Err(format!("not an absolute path: write for example {example}")),
    }
    if bytes.contains(&0) {
        return Err("a path cannot contain a NUL".to_owned());
    }
    if bytes.ends_with(b"/") {
        return Err("the path names a directory: add the name of the key file".to_owned());
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    match (path.parent().map(Path::to_owned), path.file_name().map(OsString::from)) {
        (Some(directory), Some(name)) => Ok(Address { path, directory, name }),
        _ => Err("the path has no name at its end: add the name of the key file".to_owned()),
    }
}

/// A key file called `name` in `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    format!("sysv-mq:{}", percent::encode_path(&directory.join(format!("{name}.sysv-mq"))))
}

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
