//! `posix-mq:`: its quota, what is left of the dead, and what other users can do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod dead;
mod leaks;
mod quota;
mod users;

use std::io::{self, IoSlice};
use std::path::Path;

use ipcall::Endpoint;
use ipcall::transport::{Connector, Listener, Transport};
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

use support::Watchdog;
use support::quota::{Turn, turn};
use support::role::Process;

const NOBODY: u32 = 65_534;

#[test]
fn play() {
    support::role::play(|role, about, control| match role {
        "quota" => quota::fill_the_quota(),
        "small" => quota::pass_through_small_queues(about),
        "few" => quota::run_out_of_queues(),
        "umask" => quota::connect_under_a_umask(),
        "server" => dead::serve(about, control),
        "client" => dead::call(about, control),
        "leaks" => leaks::kill_connecting_clients(),
        "connecting" => leaks::connect_for_ever(about, control),
        "stranger" => users::meddle(about, control),
        "squatter" => users::squat(about, control),
        other => panic!("nobody has written the role {other}"),
    });
}

fn begin(name: &str) -> (Turn, Watchdog) {
    (turn("posix-mq").unwrap(), Watchdog::new(name.to_owned()))
}

fn endpoint(path: &Path) -> Endpoint {
    Endpoint::parse(&format!("posix-mq:{}", path.display())).unwrap()
}

/// Plays a role to its end in another process.
fn run(role: &str, about: &str) {
    assert!(Process::start(role, about).wait().success(), "see above");
}

/// Becomes somebody with no rights and no queues, if this is root.
fn become_nobody() {
    if geteuid().is_root() {
        setgroups(&[]).unwrap();
        setgid(Gid::from_raw(NOBODY)).unwrap();
        setuid(Uid::from_raw(NOBODY)).unwrap();
    }
}

/// Two connected ends: the server's and the client's.
fn connect(listener: &mut dyn Listener, at: &Endpoint) -> [Transport; 2] {
    let client = at.try_connect().unwrap();
    [listener.try_accept().unwrap(), client]
}

fn write(transport: &mut Transport, bytes: &[u8]) {
    assert_eq!(transport.writer.try_write(&[IoSlice::new(bytes)]).unwrap(), bytes.len());
}

fn read(transport: &mut Transport) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64 << 10);
    transport.reader.try_read(&mut bytes, 64 << 10)?;
    Ok(bytes)
}

/// Sends something there and back.
fn assert_works([server, client]: &mut [Transport; 2]) {
    write(client, b"question");
    assert_eq!(read(server).unwrap(), b"question");
    write(server, b"answer");
    assert_eq!(read(client).unwrap(), b"answer");
}
