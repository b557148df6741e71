//! What is special about `sysv-shm:`: whom it lets in, the kernel's limits, namespaces, and children that are
//! forked.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Mutex;

use ipcall::transport::{Binder, Connector, Transport};
use ipcall::{Endpoint, ErrorKind, RpcError};
use nix::errno::Errno;
use nix::libc;

use support::scratch::Scratch;
use support::{Subject, Watchdog, assert_kind};

const ROLE: &str = "IPCALL_TEST_ROLE";
const ABOUT: &str = "IPCALL_TEST_ABOUT";

/// Whose servers somebody else tries to reach: only root can become somebody else.
const SERVER: &str = "0";

/// Who has nothing to do with root.
const SOMEBODY_ELSE: u32 = 65_534;

fn endpoint(path: &Path) -> Endpoint {
    Endpoint::parse(&format!("sysv-shm:{}", path.display())).unwrap()
}

/// This executable again, to play a role.
fn player(role: &str, about: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "play", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(ABOUT, about)
        .current_dir("/");
    command
}

/// Plays a role, if there is one to play; an ordinary run of the tests has none.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let about = std::env::var(ABOUT).unwrap();
    let _watchdog = Watchdog::new(format!("role {role} {about}"));
    match role.as_str() {
        "stranger" => try_everything(about.as_ref()),
        "squatter" => squat(about.as_ref()),
        "limited" => meet_limits(about.as_ref()),
        "elsewhere" => call_from_elsewhere(about.as_ref()),
        other => panic!("nobody has written the role {other}"),
    }
}

/// Has somebody else play a role, if this user can become that one, and that one can run this.
fn play_as_somebody_else(role: &str, about: &Path) {
    match player(role, about).uid(SOMEBODY_ELSE).gid(SOMEBODY_ELSE).status() {
        Ok(status) => assert!(status.success(), "see above"),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            println!("not tested: there is nobody else to be");
        }
    }
}

/// The same in an IPC namespace of its own.
fn play_in_a_namespace(role: &str, about: &Path) -> Option<ExitStatus> {
    let mut command = player(role, about);
    let unshare = || {
        // SAFETY: the call takes a number only.
        let unshared = unsafe { libc::unshare(libc::CLONE_NEWIPC) };
        Errno::result(unshared).map(drop).map_err(io::Error::from)
    };
    // SAFETY: between fork and exec the child makes one system call.
    unsafe { command.pre_exec(unshare) };
    match command.status() {
        Ok(status) => Some(status),
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
            println!("not tested: this user cannot make namespaces");
            None
        }
    }
}

#[track_caller]
fn assert_refused(error: &RpcError, text: &str) {
    assert_kind!(error, ErrorKind::Refused { .. });
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn directory_key_file_and_objects_are_private() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("new");
    let path = directory.join("key");
    let listening = endpoint(&path).bind().unwrap();
    let client = endpoint(&path).try_connect().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
    for list in ["shm", "sem"] {
        let ours = objects(list);
        assert!(ours.iter().all(|(_, mode)| *mode == 0o600), "{ours:?}");
    }
    drop((client, listening));
    assert!(!directory.exists());
}

/// The number and mode of each object in a list of the kernel's that has a key of ours, and is root's.
fn objects(list: &str) -> Vec<(i32, u32)> {
    let owner = if list == "shm" { 7 } else { 4 };
    let list = fs::read_to_string(format!("/proc/sysvipc/{list}")).unwrap();
    let ours = list.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let key: i32 = fields[0].parse().unwrap();
        let mode = u32::from_str_radix(fields[2], 8).unwrap() & 0o777;
        (key >> 20 == 0x1bd && fields[owner] == SERVER).then(|| (fields[1].parse().unwrap(), mode))
    });
    ours.collect()
}

#[test]
fn somebody_else_gets_nowhere() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let mut listening = endpoint(&path).bind().unwrap();
    let mut client = endpoint(&path).try_connect().unwrap();
    let _waiting = endpoint(&path).try_connect().unwrap();
    let mut server = listening.listener.try_accept().unwrap();
    play_as_somebody_else("stranger", &path);
    client.writer.try_write(&[IoSlice::new(b"still here")]).unwrap();
    assert_eq!(read(&mut server).unwrap(), b"still here");
}

/// As somebody else, at a server that lives: by its name, and by the numbers of its objects, which everybody can
/// list.
fn try_everything(path: &Path) {
    assert_refused(&endpoint(path).try_connect().unwrap_err(), "cannot be read by uid 65534");
    endpoint(path).bind().map(drop).unwrap_err();
    let segments = objects("shm");
    assert!(segments.len() >= 2, "{segments:?}");
    for (id, _) in segments {
        let mut status = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
        let (none, status) = (std::ptr::null_mut(), status.as_mut_ptr());
        // SAFETY: wherever it came to lie, nothing is there; and it does not.
        let attached = unsafe { libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY) };
        assert_denied(if attached.addr() == usize::MAX { -1 } else { 0 });
        // SAFETY: there is room for a status.
        assert_denied(unsafe { libc::shmctl(id, libc::IPC_STAT, status) });
        // SAFETY: this command takes no buffer.
        assert_denied(unsafe { libc::shmctl(id, libc::IPC_RMID, none) });
    }
    let sets = objects("sem");
    assert!(!sets.is_empty());
    for (id, _) in sets {
        let mut ring = libc::sembuf { sem_num: 2, sem_op: 1, sem_flg: 0 };
        // SAFETY: one operation is passed.
        assert_denied(unsafe { libc::semop(id, &raw mut ring, 1) });
        // SAFETY: this command takes numbers only.
        assert_denied(unsafe { libc::semctl(id, 0, libc::SETVAL, 1) });
        // SAFETY: as above.
        assert_denied(unsafe { libc::semctl(id, 0, libc::IPC_RMID) });
    }
}

/// It was not allowed; or it is one of another test's, and gone.
#[track_caller]
fn assert_denied(result: libc::c_int) {
    let errno = Errno::result(result).unwrap_err();
    let denied = matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EINVAL | Errno::EIDRM);
    assert!(denied, "{errno}");
}

#[test]
fn a_squatter_is_not_talked_to() {
    let scratch = Scratch::new();
    // Where everybody may make directories.
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    play_as_somebody_else("squatter", scratch.path());
    let path = scratch.path().join("squatted").join("a");
    if path.exists() {
        assert_refused(&endpoint(&path).try_connect().unwrap_err(), "belongs to uid 65534");
        assert_refused(&endpoint(&path).bind().map(drop).unwrap_err(), "belongs to uid 65534");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}

/// As somebody else: leaves a key file as if a server had been killed.
fn squat(directory: &Path) {
    let directory = directory.join("squatted");
    let path = directory.join("a");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    let listening = endpoint(&path).bind().unwrap();
    let record = fs::read(&path).unwrap();
    drop(listening);
    fs::write(&path, record).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn limits_of_the_kernel_are_named() {
    let scratch = Scratch::new();
    if let Some(status) = play_in_a_namespace("limited", scratch.path()) {
        assert!(status.success(), "see above");
    }
}

/// In an IPC namespace with limits of its own.
fn meet_limits(directory: &Path) {
    let limit = |name: &str, value: &str| {
        fs::write(format!("/proc/sys/kernel/{name}"), value).unwrap();
    };
    let endpoint = endpoint(&directory.join("a"));
    let exceeded = |error: RpcError, parts: &[&str]| {
        assert_kind!(error, ErrorKind::Io { source, .. }
            if source.kind() == io::ErrorKind::QuotaExceeded);
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    limit("sem", "100 32000 32 128");
    let error = endpoint.bind().map(drop).unwrap_err();
    exceeded(error, &["may have 100 semaphores", "kernel.sem", "259 are needed"]);
    limit("sem", "32000 1024000000 500 32000");

    limit("shmmni", "2");
    let mut listening = endpoint.bind().unwrap();
    let mut client = endpoint.try_connect().unwrap();
    let mut server = listening.listener.try_accept().unwrap();
    let error = endpoint.try_connect().unwrap_err();
    exceeded(error, &["may have 2 (kernel.shmmni)", "one more with 536576 bytes"]);
    // Nobody else notices, and there is room for one when one has gone.
    client.writer.try_write(&[IoSlice::new(b"still here")]).unwrap();
    assert_eq!(read(&mut server).unwrap(), b"still here");
    drop((client, server));
    limit("shmmax", "100000");
    let error = endpoint.try_connect().unwrap_err();
    exceeded(error, &["may have 100000 bytes (kernel.shmmax)", "536576 are needed"]);
    limit("shmmax", "1000000");
    drop(endpoint.try_connect().unwrap());
    drop(listening);
    for list in ["shm", "sem"] {
        assert!(objects(list).is_empty(), "{:?}", objects(list));
    }
}

#[test]
fn a_server_in_another_namespace_is_named_as_such() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a");
    let _listening = endpoint(&path).bind().unwrap();
    if let Some(status) = play_in_a_namespace("elsewhere", &path) {
        assert!(status.success(), "see above");
    }
}

fn call_from_elsewhere(path: &Path) {
    let error = endpoint(path).try_connect().unwrap_err();
    assert_kind!(error, ErrorKind::InvalidEndpoint { .. });
    assert!(error.to_string().contains("another IPC or pid namespace"), "{error}");
}

/// The two ends of a connection.
fn connected(subject: &Subject) -> (Transport, Transport) {
    let (mut listener, endpoint) = subject.endpoint().bind_resolved().unwrap();
    let client = endpoint.try_connect().unwrap();
    (listener.try_accept().unwrap(), client)
}

fn read(transport: &mut Transport) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(64);
    transport.reader.try_read(&mut buffer, 64).map(|_| buffer)
}

#[test]
fn a_forked_child_cannot_use_the_connection_and_does_not_end_it() {
    let _watchdog = Watchdog::new("a forked child".to_owned());
    let subject = Subject::named("sysv-shm");
    let (mut server, client) = connected(&subject);
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let mut command = Command::new("true");
    let halves = Mutex::new(Some((client.reader, client.writer)));
    let halves = std::sync::Arc::new(halves);
    let theirs = std::sync::Arc::clone(&halves);
    let in_child = move || {
        let (mut reader, mut writer) = theirs.lock().unwrap().take().unwrap();
        let mut buffer = Vec::with_capacity(64);
        let read = reader.try_read(&mut buffer, 64).unwrap_err();
        let written = writer.try_write(&[IoSlice::new(b"x")]).unwrap_err();
        assert!(!reader.arm() && !writer.arm());
        // It has no thread that could be waited for.
        drop((reader, writer));
        writeln!(there, "{read}\n{written}")
    };
    // SAFETY: between fork and exec the child uses the connection, writes a line, and allocates, which glibc
    // makes safe after a fork.
    unsafe { command.pre_exec(in_child) };
    assert!(command.spawn().unwrap().wait().unwrap().success());
    // The parent still has the halves.
    server.writer.try_write(&[IoSlice::new(b"still here")]).unwrap();
    assert_eq!(read(&mut server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(command);
    let mut said = String::new();
    here.read_to_string(&mut said).unwrap();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.lines().all(|line| line.contains("forked")), "{said}");
    // Dropped here, it is over.
    drop(halves);
    assert_eq!(read(&mut server).unwrap(), b"");
}
