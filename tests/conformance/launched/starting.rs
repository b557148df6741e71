//! What a child is started with, and programs that cannot be started.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ipcall_core::transport::{Binder, Connector};
use ipcall_core::{ErrorKind, RpcError};
use ipcall_transports::{Endpoint, Launch};

use super::{connect, connect_to, serve};
use crate::roles::Child;
use crate::scratch::Scratch;
use crate::waiting::{read_to_end, write_all};
use crate::watchdog::Watchdog;

/// Says what descriptors it has, apart from those that it has opened itself.
pub(super) fn report() {
    let mut transport = serve();
    // Which lives, as it reads this report.
    assert_eq!(transport.peer.pid, Some(std::os::unix::process::parent_id()));
    let mut text = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let Ok(target) = fs::read_link(&path) else { continue };
        text.extend(format!("{} {}\n", path.display(), target.display()).into_bytes());
    }
    write_all(&mut *transport.writer, &text);
}

#[test]
fn a_child_has_nothing_else_of_its_client() {
    let _watchdog = Watchdog::new("a child's descriptors".to_owned());
    let mut other = connect("idle", "");
    let _secret = std::io::pipe().unwrap();
    let ours = closed_on_exec();
    assert!(ours.len() >= 4, "{ours:?}");
    let mut transport = connect("report", "");
    let text = String::from_utf8(read_to_end(&mut *transport.reader)).unwrap();
    let theirs: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert!(theirs.contains(&("/proc/self/fd/0", "/dev/null")), "{text}");
    for (number, target) in &theirs {
        assert!(!ours.iter().any(|own| own == target), "{number} is {target}: {text}");
    }
    crate::waiting::read_exactly(&mut *other.reader, 1);
}

/// The pipes and sockets of this process that are its own.
fn closed_on_exec() -> Vec<String> {
    let mut targets = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo").unwrap() {
        let path = entry.unwrap().path();
        // Other tests run in other threads, and close theirs.
        let Ok(info) = fs::read_to_string(&path) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        let number = path.file_name().unwrap().to_str().unwrap();
        let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        let target = target.to_string_lossy().into_owned();
        let is_close_on_exec = flags & nix::fcntl::OFlag::O_CLOEXEC.bits() != 0;
        if is_close_on_exec && (target.starts_with("pipe:") || target.starts_with("socket:")) {
            targets.push(target);
        }
    }
    targets
}

#[test]
fn a_child_has_its_arguments_and_its_environment() {
    let _watchdog = Watchdog::new("a child's arguments".to_owned());
    let odd = std::ffi::OsString::from_vec((1..=255).collect());
    let script = "printf '%s\\n' \"$#\" \"$IPCALL_TEST_A\" \"$IPCALL_TEST_B\" \"$HOME\" >&4; \
                  printf '%s' \"$1\" >&4; printf '%s' \"$2\" >&4; printf '%s' \"$IPCALL_TEST_ODD\" >&4";
    let launch = Launch::new("sh")
        .args(["-c", script, "name"])
        .arg(&odd)
        .arg("")
        .arg("a=b&c=d?e%f g")
        .env("IPCALL_TEST_A", "not this")
        .env("IPCALL_TEST_A", "x=y&z")
        .env("IPCALL_TEST_B", "")
        .env("IPCALL_TEST_ODD", &odd);
    let mut said = read_to_end(&mut *connect_to(&launch).reader);
    let rest = said.split_off(said.len() - 2 * odd.len());
    let home = std::env::var("HOME").unwrap_or_default();
    assert_eq!(String::from_utf8(said).unwrap(), format!("3\nx=y&z\n\n{home}\n"));
    assert_eq!(rest, [odd.as_bytes(), odd.as_bytes()].concat());
}

#[test]
fn an_endpoint_shows_the_launch_that_it_was_made_of() {
    let launch = Launch::new("/a b/c&d").arg("--x=y").arg("100%").env("K", "V&W=").over_stdio();
    let endpoint = Endpoint::launching(&launch).unwrap();
    assert_eq!(endpoint.uri(), "pipe:/a%20b/c&d?arg=--x=y&arg=100%25&env=K=V%26W=&stdio=1");
}

#[test]
fn a_program_may_have_any_name() {
    for program in ["?in-process=x", "a:b", "%41", "x&stdio=1"] {
        let endpoint = Endpoint::launching(&Launch::new(program)).unwrap();
        assert!(endpoint.starts_server(), "{endpoint}");
    }
    let error = Endpoint::launching(&Launch::new("inherited")).unwrap_err();
    assert!(error.to_string().contains("absolute path"), "{error}");
    Endpoint::launching(&Launch::new("/bin/inherited")).unwrap();
}

fn launch_error(program: impl AsRef<OsStr>) -> RpcError {
    let endpoint = Endpoint::launching(&Launch::new(program.as_ref())).unwrap();
    let error = endpoint.try_connect().unwrap_err();
    assert_eq!(error.endpoint(), Some(endpoint.uri()));
    let program = Path::new(program.as_ref()).display().to_string();
    assert!(error.to_string().contains(&program), "{error}");
    error
}

#[test]
fn a_program_that_is_not_there_is_an_absent_server() {
    for (program, text) in [
        ("/nowhere/at-all", "there is no program /nowhere/at-all"),
        ("/etc/passwd/server", "there is no program"),
        ("ipcall-no-such-program", "no directory of PATH has a program ipcall-no-such-program"),
    ] {
        let error = launch_error(program);
        assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn what_cannot_be_executed_is_said_to_be_so() {
    let scratch = Scratch::new();
    let path = scratch.path().join("program");
    for (content, mode, text) in [
        ("#!/bin/sh\n", 0o600, "chmod +x"),
        ("#!/nowhere/interpreter\n", 0o700, "the interpreter that it names"),
        ("no program\n", 0o700, "is no program for this machine"),
    ] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = launch_error(&path);
        assert!(matches!(error.kind(), ErrorKind::InvalidEndpoint { .. }), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
        fs::remove_file(&path).unwrap();
    }
    let error = launch_error(scratch.path());
    assert!(error.to_string().contains("chmod +x"), "{error}");
}

#[test]
fn arguments_beyond_the_limit_are_said_to_be_so() {
    let launch = Launch::new("/bin/true").arg("x".repeat(8 << 20));
    let error = Endpoint::launching(&launch).unwrap().try_connect().unwrap_err();
    assert!(error.to_string().contains("larger than the system allows"), "{error:.300}");
}

#[test]
fn the_client_s_side_cannot_be_inherited() {
    let error = Endpoint::inherited().try_connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidEndpoint { .. }), "{error:?}");
    assert!(error.to_string().contains("is for a server"), "{error}");
}

/// In a process of its own, whose descriptors 3 and 4 are what `about` says.
pub(super) fn bind_without_a_client(about: &str) {
    let expected = about;
    for uri in ["pipe:inherited", "pipe:/usr/lib/wordcount/server?arg=x"] {
        let error = Endpoint::parse(uri).unwrap().bind().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(uri), "{text}");
        assert!(text.contains("this process was not started by a client as its server"), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_process_without_a_client_is_told_what_is_missing() {
    for (redirections, expected) in [
        ("3<&- 4>&-", "descriptor 3 cannot be used"),
        ("3</dev/null 4>/dev/null", "descriptor 3 is no pipe, but a terminal or another device"),
        ("3</etc/passwd 4>&2", "descriptor 3 is no pipe, but a file"),
        ("3<&0 4<&0", "descriptor 4 is to be written to, and is for reading"),
        ("3<&0 4>&-", "descriptor 4 cannot be used"),
        ("3>&1 4>&1", "descriptor 3 is to be read from, and is for writing"),
    ] {
        let script = format!("true | {{ exec \"$0\" \"$@\" {redirections} >/dev/null | cat; }}");
        let (status, stderr) = Child::spawn_by(&script, "not-started", expected).output();
        assert!(status.success(), "{redirections}: {stderr}");
        assert!(!stderr.contains("panicked"), "{redirections}: {stderr}");
    }
}

/// Binds once more than it may.
pub(super) fn bind_twice() {
    let listener = Endpoint::inherited().bind().unwrap();
    let error = Endpoint::inherited().bind().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::AddressInUse { .. }), "{error:?}");
    let mut listener = listener.listener;
    let mut transport = listener.try_accept().unwrap();
    assert!(listener.is_exhausted());
    assert!(crate::waiting::is_would_block(&listener.try_accept()));
    assert!(!crate::waiting::is_ready(listener.as_fd(), crate::waiting::Want::Read));
    drop(listener);
    Endpoint::inherited().bind().unwrap_err();
    write_all(&mut *transport.writer, b"fine");
}

#[test]
fn a_process_takes_its_pipes_over_once() {
    let _watchdog = Watchdog::new("twice".to_owned());
    let mut transport = connect("twice", "");
    assert_eq!(read_to_end(&mut *transport.reader), b"fine");
}
