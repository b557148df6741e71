#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::IoSlice;
use std::net::{Shutdown, TcpStream};

use nix::sys::socket::sockopt::Linger;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, socket};

use super::*;

fn bound_socket() -> (OwnedFd, SocketAddr) {
    let unbound =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    bind(unbound.as_raw_fd(), &SockaddrStorage::from(any)).unwrap();
    let stream = TcpStream::from(unbound);
    let address = stream.local_addr().unwrap();
    (stream.into(), address)
}

#[test]
fn a_socket_connected_with_itself_is_refused() {
    let (socket, address) = bound_socket();
    let error = start(socket, address).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    assert!(error.to_string().contains("connected with itself"), "{error}");
}

#[test]
fn a_port_where_nobody_listens_has_no_server() {
    let (_taken, address) = bound_socket();
    let error = connect(&Address(address)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn both_halves_of_a_failed_connection_report_the_same_failure() {
    fn fails(_: BorrowedFd<'_>) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(Errno::ECONNREFUSED as i32))
    }
    let (socket, address) = bound_socket();
    let mut ends = transport(socket, address, Some(fails)).unwrap();
    let read = ends.reader.try_read(&mut Vec::with_capacity(8), 8).unwrap_err();
    let write = ends.writer.try_write(&[IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(read.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(write.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_connection_still_being_made_is_would_block() {
    fn never(_: BorrowedFd<'_>) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let address = stream.peer_addr().unwrap();
    stream.shutdown(Shutdown::Read).unwrap();
    let mut ends = transport(stream.into(), address, Some(never)).unwrap();
    let read = ends.reader.try_read(&mut Vec::with_capacity(8), 8).unwrap_err();
    let write = ends.writer.try_write(&[IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(read.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(write.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_reset_that_the_writer_meets_is_no_orderly_end_for_the_reader() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut ends = connect(&Address(address)).unwrap();
    let (server, _) = listener.accept().unwrap();
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&server, Linger, &linger).unwrap();
    drop(server);
    let write = loop {
        if let Err(error) = ends.writer.try_write(&[IoSlice::new(b"x")]) {
            break error;
        }
    };
    assert_eq!(write.kind(), io::ErrorKind::ConnectionReset);
    let read = ends.reader.try_read(&mut Vec::with_capacity(8), 8).unwrap_err();
    assert_eq!(read.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn an_address_without_what_it_needs_says_what_is_missing() {
    for (wrong, hint) in [
        ("", "tcp:127.0.0.1:7070"),
        ("//127.0.0.1:80", "write tcp:127.0.0.1:80"),
        ("127.0.0.1", "a port is missing"),
        ("[::1]", "a port is missing"),
        ("::1", "in brackets"),
        ("::1:80", "in brackets"),
        ("127.0.0.1:65536", "65535"),
        ("127.0.0.1:http", "`http`"),
        ("example.org:80", "not resolved"),
        ("[127.0.0.1]:80", "no IP address"),
        (":80", "no IP address"),
    ] {
        let error = parse_address(wrong).unwrap_err();
        assert!(error.contains(hint), "{wrong}: {error}");
    }
}

#[test]
fn addresses_are_understood() {
    for (text, address) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("localhost:0", "127.0.0.1:0"),
        ("[::1]:7070", "[::1]:7070"),
    ] {
        assert_eq!(parse_address(text).unwrap(), address.parse().unwrap());
    }
}
