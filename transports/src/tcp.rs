//! `tcp:ADDRESS:PORT`: a TCP connection, on the loopback interface or beyond it with a token.
//!
//! - System calls: `socket(2)`, `connect(2)`, `bind(2)`, `listen(2)`, `accept4(2)`, `recv(2)`,
//!   `send(2)`, `sendmsg(2)`, `shutdown(2)`, `getsockname(2)`, `getpeername(2)`; `TCP_NODELAY`.
//! - Limits: 128 clients waiting to be accepted; between 200 KiB and some MiB in each direction, as the
//!   kernel tunes it (`net.ipv4.tcp_rmem`, `tcp_wmem`).
//! - Leaves behind: nothing; connections in `TIME_WAIT` do not keep the next server out.
//! - Not for: processes of one machine, where `unix:` is faster and knows who connects. Here nothing
//!   says which user or process the other side is, and nothing is encrypted.
//!
//! A host is written as an address or as `localhost` (127.0.0.1); other names are not resolved, because
//! that blocks and can lead elsewhere tomorrow. Beyond the loopback interface a server needs a token.
//!
//! A vanished machine is noticed by keepalive after 15 s + 3 x 5 s without traffic.
//! `TCP_USER_TIMEOUT` is left alone: it would also end the connection to a peer that lives, acknowledges
//! each probe, and only has not read for that long.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ipcall_core::transport::{Listener as Accept, Peer, Transport};
use ipcall_core::{ErrorKind, RpcError, Settings};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{
    KeepAlive, SocketError, TcpKeepCount, TcpKeepIdle, TcpKeepInterval, TcpNoDelay,
};
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, SockaddrStorage, getsockopt, setsockopt,
};

use crate::endpoint::Parts;
use crate::stream::{self, Look, Reset};
use crate::token::read_token_file;

/// Seconds without traffic before the first keepalive probe, and between one probe and the next.
const KEEPALIVE_IDLE: u32 = 15;
const KEEPALIVE_INTERVAL: u32 = 5;
/// Unanswered probes after which the peer counts as gone.
const KEEPALIVE_COUNT: u32 = 3;

/// An address and a port; port 0 lets the system choose, for binding only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(SocketAddr);

impl Address {
    /// `uri` with this address in the place of its own.
    pub(crate) fn replace_in(self, uri: &str) -> String {
        let query = uri.find('?').map_or("", |start| &uri[start..]);
        format!("tcp:{}{query}", self.0)
    }
}

/// Understands an address and a port, and reads the token.
pub(crate) fn parse(parts: &Parts<'_>, settings: &mut Settings) -> Result<Address, RpcError> {
    let address = parse_address(parts.raw_rest()).map_err(RpcError::invalid_endpoint)?;
    let token_file = parts.value("token-file").map_err(RpcError::invalid_endpoint)?;
    if let Some(file) = token_file {
        if !file.starts_with('/') {
            return Err(RpcError::invalid_endpoint(format!(
                "token-file must be an absolute path, and `{file}` is not"
            )));
        }
        settings.token = Some(read_token_file(Path::new(file))?);
    }
    Ok(Address(address))
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    const EXAMPLE: &str = "tcp:127.0.0.1:7070";
    if let Some(bare) = text.strip_prefix("//") {
        return Err(format!("write tcp:{bare}, without the //"));
    }
    if text.is_empty() {
        return Err(format!("an address and a port are missing: write for example {EXAMPLE}"));
    }
    if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        return Err("an IPv6 address stands in brackets, with a port after it: write for example \
                    tcp:[::1]:7070"
            .to_owned());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => return Err(format!("a port is missing: write for example {EXAMPLE}")),
    };
    let port: u16 = port.parse().map_err(|_| {
        format!("the port `{port}` is no number between 0 and 65535: write for example {EXAMPLE}")
    })?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match (bare.unwrap_or(host).parse(), host) {
        (Ok(ip @ IpAddr::V4(_)), _) if bare.is_none() => Ok(SocketAddr::new(ip, port)),
        (Ok(ip @ IpAddr::V6(_)), _) if bare.is_some() => Ok(SocketAddr::new(ip, port)),
        (_, "localhost") => Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
        _ => Err(format!(
            "`{host}` is no IP address; other names than localhost are not resolved: write for \
             example {EXAMPLE} or tcp:[::1]:7070"
        )),
    }
}

/// A loopback endpoint at a port that is free now, below those that the system hands out to clients:
/// no connection takes it before the server does, and nobody waiting there connects to himself.
pub(crate) fn fresh() -> io::Result<String> {
    const PORTS: std::ops::Range<u16> = 10_240..32_768;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let offset = scatter() % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(offset).expect("it is less than the width");
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(format!("tcp:127.0.0.1:{port}")),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Different in each process and at each call, so that two rarely try the same port.
fn scatter() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// Connects, or starts to.
pub(crate) fn connect(address: &Address) -> Result<Transport, RpcError> {
    if address.0.port() == 0 {
        return Err(RpcError::invalid_endpoint(
            "port 0 is for servers, to have one chosen: connect to the port that was",
        ));
    }
    let family = if address.0.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, SockType::Stream, flags, None)
        .map_err(|e| RpcError::io("making a socket", e.into()))?;
    start(socket, address.0)
}

/// Starts to connect `socket`. On the loopback interface the outcome is mostly known at once.
fn start(socket: OwnedFd, address: SocketAddr) -> Result<Transport, RpcError> {
    let failed = |error: io::Error| explain(error, address);
    tune(&socket).map_err(|e| failed(e.into()))?;
    match socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => {}
        Err(errno) => return Err(failed(errno.into())),
    }
    let connecting = match look(socket.as_fd()) {
        Ok(()) => None,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(look as Look),
        Err(error) => return Err(failed(error)),
    };
    transport(socket, address, connecting).map_err(failed)
}

/// How far a connection is that was started.
fn look(socket: BorrowedFd<'_>) -> io::Result<()> {
    let pending = getsockopt(&socket, SocketError)?;
    if pending != 0 {
        return Err(io::Error::from_raw_os_error(pending));
    }
    let peer = match socket::getpeername::<SockaddrStorage>(socket.as_raw_fd()) {
        Ok(peer) => peer,
        Err(Errno::ENOTCONN) => return Err(io::ErrorKind::WouldBlock.into()),
        Err(errno) => return Err(errno.into()),
    };
    // Where nobody listens, a client can be given the very port that it connects to, and TCP then
    // connects the socket with itself.
    if socket::getsockname::<SockaddrStorage>(socket.as_raw_fd())? == peer {
        return Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "nobody listens there, and the socket was connected with itself",
        ));
    }
    Ok(())
}

fn explain(error: io::Error, address: SocketAddr) -> RpcError {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        let detail = match error.raw_os_error() {
            Some(_) => format!("nobody listens at {address}"),
            None => error.to_string(),
        };
        return RpcError::not_executed(ErrorKind::ServerAbsent { detail });
    }
    if error.kind() == io::ErrorKind::ConnectionReset {
        // It ended with this client among those that it had not accepted yet.
        let detail = format!("the server at {address} has just ended");
        return RpcError::not_executed(ErrorKind::ServerAbsent { detail });
    }
    RpcError::io(format!("connecting to {address}"), error)
}

/// Accepts the clients of one address and port.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    /// Listens at `address`, and says with which port.
    pub(crate) fn bind(
        address: &Address,
        settings: &Settings,
    ) -> Result<(Self, Address), RpcError> {
        let Address(address) = *address;
        if !address.ip().to_canonical().is_loopback() && settings.token.is_none() {
            return Err(RpcError::not_executed(ErrorKind::Refused {
                reason: format!(
                    "{} can be reached from other machines, and no token is set: set one \
                     (?token-file=/path), or listen at 127.0.0.1",
                    address.ip()
                ),
            }));
        }
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => RpcError::not_executed(ErrorKind::AddressInUse {
                detail: format!("another server listens at {address}"),
            }),
            _ => RpcError::io(format!("listening at {address}"), error),
        };
        // This sets SO_REUSEADDR, which on Linux still refuses the port of a living listener.
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let actual = listener.local_addr().map_err(failed)?;
        Ok((Self(listener), Address(actual)))
    }
}

impl Accept for Listener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        let (client, address) = self.0.accept()?;
        client.set_nonblocking(true)?;
        tune(&client)?;
        transport(client.into(), address, None)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn tune(socket: &impl AsFd) -> nix::Result<()> {
    setsockopt(socket, TcpNoDelay, &true)?;
    setsockopt(socket, KeepAlive, &true)?;
    setsockopt(socket, TcpKeepIdle, &KEEPALIVE_IDLE)?;
    setsockopt(socket, TcpKeepInterval, &KEEPALIVE_INTERVAL)?;
    setsockopt(socket, TcpKeepCount, &KEEPALIVE_COUNT)
}

fn transport(
    socket: OwnedFd,
    address: SocketAddr,
    connecting: Option<Look>,
) -> io::Result<Transport> {
    let mut peer = Peer::default();
    peer.address = Some(address.to_string());
    peer.known_by = "address";
    let (reader, writer) = stream::halves(socket, Reset::IsAnError, connecting)?;
    Ok(Transport { reader, writer, peer })
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
