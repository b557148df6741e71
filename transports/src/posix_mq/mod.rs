//! `posix-mq:/absolute/path`: a pair of POSIX message queues for each client, met through a third.
//!
//! - System calls: `mq_open(3)`, `mq_send(3)`, `mq_receive(3)`, `mq_getattr(3)`, `mq_unlink(3)`,
//!   `fstat(2)` and `fchmod(2)` on a queue; `fcntl(2)` with `F_OFD_SETLK`, `F_SETLK` and `F_OFD_GETLK`;
//!   `pidfd_open(2)`, `poll(2)`, `epoll_create1(2)`, `epoll_ctl(2)`, `epoll_wait(2)`, `eventfd(2)`; those of
//!   the directory. Five descriptors for each side of a connection, and one more for the client.
//! - Limits: four messages of 4,048 bytes in each direction. A connection takes 33,152 bytes of its
//!   client's `RLIMIT_MSGQUEUE` and the rendezvous 1,200 of the server's; by default that is 819,200 for all
//!   the queues of a user, which is enough for 24 clients. 256 clients of one server;
//!   `fs.mqueue.queues_max`, by default 256, queues of the machine. Where `fs.mqueue.msg_max` or
//!   `msgsize_max` allow less than that, the queues are smaller.
//! - Leaves behind: a killed server its key file, the rendezvous queue and the queues of clients that it
//!   had not accepted; the next server at the same path removes them. A client killed while it
//!   connects leaves its queues to the server, to the next client of its slot, or to the next server. Nobody
//!   finds a queue whose client is killed between making it and asking whether its server is still there, if
//!   that one has stopped in order just then.
//! - Not for: large messages, which `unix:` moves several times as fast; many clients; more than one
//!   user; a server that forks between binding and serving, because it is known by its process id;
//!   a peer that calls `execve(2)` with the connection open, which is not seen as long as it runs.
//!
//! **Rendezvous.** The path names a key file in a private directory. It holds the nonce of this server
//! start, by which the rendezvous queue is called, the server's process id, and a table of slots. The server
//! holds a lock of it while it listens, so a file without that lock is stale. A client takes a slot, by a
//! lock as well, writes a random id there, makes a pair of queues called by the id, and sends nonce and
//! id to the rendezvous queue. The server opens the pair, makes sure of its owner, asks the kernel which
//! process has signed it with a lock, opens a pidfd of that, and removes the names. So whoever leaves the
//! queues behind has written down their names before. The client has filled its queue, and the server
//! empties it: so the client writes nothing before there is somebody who will read it.
//!
//! **Why a pair for each client,** and not one request queue for all: one that fills a shared queue stops
//! the others, which credits would have to prevent; it wakes every connection for every message; and it
//! leaves the messages of the dead among those of the living. Who makes the queues pays for them, so it
//! is the client: the one that does not fit learns that from its own `connect`, and nobody else does. The
//! rendezvous queue may be full, by fault or on purpose, and nobody is kept out: the server then looks at
//! the table, where every client has left its id before it rang.
//!
//! **Priorities are not used.** They order the messages of one queue, and a transport is a stream of
//! bytes that knows no frames: a piece that overtakes another tears the frame that both are of. Urgent frames
//! overtake what is queued above the cut, in the core; below it are at most four messages.
//!
//! **The end.** An empty message says that a direction ends in order. As a full queue has no room for
//! it, the side that ends also sets a permission bit of the queue, which both sides see by `fstat`, and which the
//! other looks at when it has emptied a full queue, has filled it, or the peer has died. Death shows at the
//! pidfd; what the dead had written is read first.

mod announcement;
mod claim;
mod halves;
mod key;
mod listener;
mod lock;
mod queue;
mod unsent;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs, io};

use ipcall_core::transport::{Peer, Transport};
use ipcall_core::{ErrorKind, RpcError};
use nix::errno::Errno;
use nix::sys::stat::fstat;

use announcement::{Announcement, rendezvous};
use claim::Claim;
use halves::Parts;
use key::{Header, KeyFile};
pub(crate) use listener::Listener;
use queue::{End, Queue};

use crate::endpoint::{Parts as UriParts, Place, percent};
use crate::process::Process;

/// Understands the path of a key file.
pub(crate) fn parse(parts: &UriParts<'_>) -> Result<Place, String> {
    Place::parse(parts, "posix-mq:/run/user/1000/wordcount/queue")
}

/// A key file called `name` in `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    format!("posix-mq:{}", percent::encode_path(&directory.join(format!("{name}.mq"))))
}

/// Whether the kernel has what it takes.
pub(crate) fn is_there() -> bool {
    let has_pidfds = || match Process::open(std::process::id()) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(Errno::ENOSYS as i32),
    };
    queue::are_offered() && has_pidfds()
}

/// Makes a pair of queues and announces them. That the server has accepted them is not waited for.
pub(crate) fn connect(place: &Place) -> Result<Transport, RpcError> {
    let path = place.path.display();
    let failed = |doing: &str, error: io::Error| RpcError::io(format!("{doing} {path}"), error);
    let Some(key) = KeyFile::open(&place.path)? else {
        return absent(format!("there is no key file {path}"));
    };
    let Some(header) = key.header().map_err(|e| failed("reading", e))? else {
        return absent(format!("the server of {path} is only starting"));
    };
    if !key.is_listened_at().map_err(|e| failed("asking who listens at", e))? {
        return absent(format!("the server that made {path} was killed, or is only starting"));
    }
    let server = server(&header, &path)?;
    let rendezvous = open_rendezvous(&header, &path)?;
    let gid = fstat(&rendezvous).ok().map(|status| status.st_gid);

    let claim = Claim::take(key)?;
    let (up, down) = claim.make_queues()?;
    let announcement = Announcement { nonce: header.nonce, id: claim.id };
    match rendezvous.send(&announcement.to_bytes()) {
        // Full: the server will look at the table.
        Ok(()) | Err(Errno::EAGAIN) => {}
        Err(errno) => return Err(failed("announcing this client to the server of", errno.into())),
    }
    // Asked afterwards. If it still listens, it comes across the announcement, be it when it stops; and
    // it has been alive all the time, so the process that has its number is it.
    if !listens(claim.key(), &header).map_err(|e| failed("asking who listens at", e))? {
        return absent(format!("the server of {path} has just gone"));
    }
    let mut peer = Peer::default();
    peer.pid = Some(server.id());
    // The key file and the rendezvous queue are the own user's.
    peer.uid = Some(nix::unistd::geteuid().as_raw());
    peer.gid = gid;
    peer.known_by = "the key file and its lock";
    peer.pidfd = server.pidfd();
    let parts = Parts::new(down, up, server)
        .map_err(|e| RpcError::io("making descriptors to sleep on", e))?;
    let (reader, writer) = parts.connect(claim);
    Ok(Transport { reader, writer, peer })
}

fn server(header: &Header, path: &impl std::fmt::Display) -> Result<Process, RpcError> {
    let own = pid_namespace();
    if own != 0 && header.pid_namespace != 0 && own != header.pid_namespace {
        return Err(RpcError::not_executed(ErrorKind::Refused {
            reason: format!(
                "the server of {path} is in another pid namespace, so its death would go unnoticed: \
                 choose unix:"
            ),
        }));
    }
    match Process::open(header.pid) {
        Ok(Some(server)) => Ok(server),
        Ok(None) => absent(format!(
            "the server that made {path} was killed, though another process has inherited its lock"
        )),
        Err(error) => Err(RpcError::io(format!("watching the server of {path}"), error)),
    }
}

fn open_rendezvous(header: &Header, path: &impl std::fmt::Display) -> Result<Queue, RpcError> {
    match Queue::open(&rendezvous(header.nonce), End::Writing) {
        Ok(queue) => Ok(queue),
        Err(Errno::ENOENT) => absent(format!(
            "the server of {path} has just stopped, or is in another IPC namespace: its queue is not \
             here"
        )),
        Err(Errno::EACCES) => Err(RpcError::not_executed(ErrorKind::Refused {
            reason: format!("the rendezvous queue that {path} names belongs to somebody else"),
        })),
        Err(errno) => {
            Err(RpcError::io(format!("opening the rendezvous queue of {path}"), errno.into()))
        }
    }
}

/// Whether the server start `header` still listens.
fn listens(key: &KeyFile, header: &Header) -> io::Result<bool> {
    Ok(key.is_listened_at()? && key.header()?.as_ref() == Some(header))
}

fn absent<T>(detail: String) -> Result<T, RpcError> {
    Err(RpcError::not_executed(ErrorKind::ServerAbsent { detail }))
}

/// The pid namespace of this process; 0 where that cannot be found out.
fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino())
}

#[cfg(test)]
mod tests;
