//! `unix:/absolute/path`: a stream socket in a private directory, the default between processes.
//!
//! - System calls: `socket(2)`, `connect(2)`, `bind(2)`, `listen(2)`, `accept4(2)`, `recv(2)`,
//!   `send(2)`, `sendmsg(2)`, `shutdown(2)`, `SO_PEERCRED`, `SO_PEERPIDFD`, `SO_SNDBUF`; those of the directory.
//! - Limits: a path of 107 bytes (`sun_path` holds 108 with its NUL); 128 clients waiting to be accepted
//!   (`net.core.somaxconn` may be less); 512 KiB asked for as each side's send buffer, of which
//!   `net.core.wmem_max` may grant less (208 KiB by default).
//! - Leaves behind: a killed server its socket, which the next one at the same path takes over once
//!   it has found that nobody listens there; and the directory, if the server had made it.
//! - Not for: other machines (`tcp:`); callers that count in fractions of a microsecond.
//!
//! The directory has mode 0700 and the socket 0600. A server whose settings name `allow_uids` opens
//! them as far as those users need: 0711, which lets them pass and not list, and 0666; who is let in is
//! then decided by uid alone, when a client is admitted. A client in turn talks only to a server that
//! runs as its own user, as root, or as one of its own `allow_uids`.

mod listener;

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use ipcall_core::transport::{Peer, Pidfd, Transport};
use ipcall_core::{ErrorKind, RpcError, Settings, Signals};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{PeerCredentials, PeerPidfd, SndBuf};
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, UnixAddr, UnixCredentials, getsockopt, setsockopt,
};
use nix::unistd::geteuid;

pub(crate) use listener::Listener;

use crate::endpoint::{Parts, percent};
use crate::process;
use crate::stream::{self, Reset};

/// Bytes of a path that `sockaddr_un` has room for, beside the NUL at its end.
const MAX_PATH: usize = 107;

/// Bytes asked for as each side's send buffer. With the usual 208 KiB a large message takes two to three
/// times as long between two CPUs (1 MiB there and back: 0.95 ms, and 0.35 ms with this), because each
/// side sleeps more often for the other.
const SEND_BUFFER: usize = 512 << 10;

/// Where the socket lies: a path that fits, with a directory and a name.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
}

/// Understands the path of a socket.
pub(crate) fn parse(parts: &Parts<'_>) -> Result<Address, String> {
    let bytes = parts.rest()?;
    let example = "unix:/run/user/1000/wordcount/socket";
    match bytes.first() {
        None => return Err(format!("a path is missing: write for example {example}")),
        Some(b'@' | b'\0') => {
            return Err(format!(
                "abstract sockets are refused, because no permission guards them: write an absolute \
                 path, for example {example}"
            ));
        }
        Some(b'/') => {}
        Some(_) => return Err(format!("not an absolute path: write for example {example}")),
    }
    if bytes.contains(&0) {
        return Err("a path cannot contain a NUL".to_owned());
    }
    if bytes.len() > MAX_PATH {
        return Err(format!(
            "the path {} has {} bytes, and a socket's address has room for {MAX_PATH}: choose a \
             shorter one",
            String::from_utf8_lossy(&bytes),
            bytes.len()
        ));
    }
    if bytes.ends_with(b"/") {
        return Err("the path names a directory: add the name of the socket".to_owned());
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    match (path.parent().map(Path::to_owned), path.file_name().map(OsString::from)) {
        (Some(directory), Some(name)) => Ok(Address { path, directory, name }),
        _ => Err("the path has no name at its end: add the name of the socket".to_owned()),
    }
}

/// A socket called `name` in `directory`.
pub(crate) fn fresh(directory: &Path, name: &str) -> String {
    format!("unix:{}", percent::encode_path(&directory.join(format!("{name}.sock"))))
}

/// Connects, which for a Unix socket either succeeds or fails at once.
pub(crate) fn connect(address: &Address, settings: &Settings) -> Result<Transport, RpcError> {
    let (socket, server) = connect_socket(address, settings)?;
    transport(socket, server).map_err(|e| RpcError::io("duplicating a socket's descriptor", e))
}

/// A socket that is connected to a server that may be trusted.
pub(crate) fn connect_socket(
    address: &Address,
    settings: &Settings,
) -> Result<(OwnedFd, Peer), RpcError> {
    let socket = match dial(address) {
        Ok(socket) => socket,
        Err(Failed::Socket(errno)) => return Err(RpcError::io("making a socket", errno.into())),
        Err(Failed::Connect(errno)) => return Err(explain(errno, address)),
    };
    let server =
        credentials(&socket).map_err(|e| RpcError::io("asking who the server is", e.into()))?;
    let own = geteuid().as_raw();
    if server.uid() != own && server.uid() != 0 && !settings.allow_uids.contains(&server.uid()) {
        return Err(RpcError::not_executed(ErrorKind::Refused {
            reason: format!(
                "the server runs as uid {}, and only uid {own}, root and the allowed ones ({}) are \
                 trusted: allow it if it is the right one",
                server.uid(),
                list(&settings.allow_uids)
            ),
        }));
    }
    let mut peer = peer(server);
    if settings.signals != Signals::OFF {
        peer.pidfd = pidfd(&socket, peer.pid);
    }
    Ok((socket, peer))
}

enum Failed {
    Socket(Errno),
    Connect(Errno),
}

/// A socket that is connected to `address`.
fn dial(address: &Address) -> Result<OwnedFd, Failed> {
    let socket = new_socket().map_err(Failed::Socket)?;
    let target = UnixAddr::new(&address.path).map_err(Failed::Connect)?;
    socket::connect(socket.as_raw_fd(), &target).map_err(Failed::Connect)?;
    Ok(socket)
}

fn new_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

fn explain(errno: Errno, address: &Address) -> RpcError {
    let path = address.path.display();
    let absent = |detail| RpcError::not_executed(ErrorKind::ServerAbsent { detail });
    match errno {
        Errno::ENOENT => absent(format!("there is no socket {path}")),
        Errno::ECONNREFUSED => absent(format!("nobody listens at the socket {path}")),
        Errno::EAGAIN => {
            absent(format!("its backlog is full: the server at {path} does not accept"))
        }
        Errno::EACCES | Errno::EPERM => RpcError::not_executed(ErrorKind::Refused {
            reason: format!(
                "the permissions of {path} or its directory keep uid {} out: the server has to allow it",
                geteuid()
            ),
        }),
        errno => RpcError::io(format!("connecting to the socket {path}"), errno.into()),
    }
}

fn credentials(socket: &impl AsFd) -> nix::Result<UnixCredentials> {
    getsockopt(socket, PeerCredentials)
}

fn transport(socket: OwnedFd, peer: Peer) -> std::io::Result<Transport> {
    setsockopt(&socket, SndBuf, &SEND_BUFFER)?;
    let (reader, writer) = stream::halves(socket, Reset::IsTheEnd, None)?;
    Ok(Transport { reader, writer, peer })
}

fn peer(other: UnixCredentials) -> Peer {
    let mut peer = Peer::default();
    // 0 stands for a process that our pid namespace does not show.
    peer.pid = u32::try_from(other.pid()).ok().filter(|pid| *pid != 0);
    peer.uid = Some(other.uid());
    peer.gid = Some(other.gid());
    peer.known_by = "SO_PEERCRED";
    peer
}

/// The process that has called `listen(2)`: since Linux 6.5 as the kernel has noted it then, else by its number.
fn pidfd(socket: &OwnedFd, pid: Option<u32>) -> Option<Pidfd> {
    match getsockopt(socket, PeerPidfd) {
        Ok(pidfd) => Some(Pidfd::from(pidfd)),
        Err(Errno::ENOPROTOOPT) => pid.and_then(process::pidfd),
        Err(_) => None,
    }
}

fn list(uids: &[u32]) -> String {
    if uids.is_empty() {
        return "none".to_owned();
    }
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
