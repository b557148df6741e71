//! The form over standard input and output, which works through programs that forward bytes.

use std::io::IoSlice;
use std::thread;

use ipcall_core::ErrorKind;
use ipcall_core::transport::{Binder, Transport};
use ipcall_transports::{Endpoint, Launch};

use super::connect_to;
use crate::bytes::{assert_same, stream};
use crate::roles::{Child, launch};
use crate::subject::{accept, bind};
use crate::waiting::{read_exactly, read_some, read_to_end, write_all, write_some};
use crate::watchdog::Watchdog;

const ENDPOINT: &str = "pipe:inherited?stdio=1";

/// Sends so much that both directions are full, and gets it back.
fn there_and_back(transport: Transport, size: usize) {
    let Transport { mut reader, mut writer, .. } = transport;
    thread::scope(|scope| {
        scope.spawn(move || write_all(&mut *writer, &stream(1, 0, size)));
        assert_same(&read_to_end(&mut *reader), &stream(1, 0, size));
    });
}

#[test]
fn bytes_pass_through_a_program_that_knows_nothing_of_this() {
    let _watchdog = Watchdog::new("cat".to_owned());
    // It has no patience with descriptors that do not block.
    for size in [0, 1, 64 << 10, 4 << 20] {
        there_and_back(connect_to(&Launch::new("cat").over_stdio()), size);
    }
    let chain = Launch::new("sh").args(["-c", "cat | cat | cat"]).over_stdio();
    there_and_back(connect_to(&chain), 4 << 20);
}

/// A server over standard input and output, which prints something in between.
pub(super) fn be_an_echo() {
    // The harness has said what it had to; this is what the client has given us.
    // SAFETY: the shell has opened it for this, and nothing else uses the number.
    let output = unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(5) };
    nix::unistd::dup2_stdout(&output).unwrap();
    drop(output);
    // Where the standard output goes then, and nobody wants to see it.
    nix::unistd::dup2_stderr(std::fs::File::open("/dev/null").unwrap()).unwrap();
    let mut listener = bind(&Endpoint::parse(ENDPOINT).unwrap());
    println!("this breaks nothing");
    let mut transport = accept(&mut *listener);
    assert!(listener.is_exhausted());
    assert_eq!((transport.peer.pid, transport.peer.uid), (None, None));
    let mut bytes = Vec::new();
    while read_some(&mut *transport.reader, &mut bytes, 64 << 10).is_ok_and(|count| count > 0) {
        println!("nor does this");
        write_all(&mut *transport.writer, &bytes);
        bytes.clear();
    }
    // There is nothing more to be had from it.
    let mut line = String::new();
    assert_eq!(std::io::stdin().read_line(&mut line).unwrap(), 0);
}

fn echo() -> Launch {
    launch("stdio-echo", "").over_stdio()
}

/// The same with a shell in between that runs `script`, in which `$0` starts it.
fn echo_by(script: &str) -> Launch {
    let mut arguments = echo().command();
    let echo = std::mem::replace(&mut arguments, std::process::Command::new("true"));
    let script = format!("server() {{ sh \"$@\"; }}; {script}");
    let launch = Launch::new("sh").args(["-c", &script, "sh"]).args(echo.get_args()).over_stdio();
    echo.get_envs().fold(launch, |launch, (name, value)| launch.env(name, value.unwrap()))
}

#[test]
fn a_server_serves_over_its_standard_input_and_output() {
    let _watchdog = Watchdog::new("a server over stdio".to_owned());
    there_and_back(connect_to(&echo()), 4 << 20);
}

#[test]
fn a_server_serves_through_programs_that_forward() {
    let _watchdog = Watchdog::new("a server behind forwarders".to_owned());
    there_and_back(connect_to(&echo_by("cat | server \"$@\" | cat")), 4 << 20);
}

#[test]
fn the_standard_input_of_others_stays_as_it_is() {
    let _watchdog = Watchdog::new("a shared standard input".to_owned());
    // The shell has its input in common with the server, and reads from it before and after. A
    // description that had been made non-blocking would fail it.
    let script = "read first; timeout 0.3 sh \"$@\"; echo now; read last; echo \"$first $last\"";
    let mut transport = connect_to(&echo_by(script));
    write_all(&mut *transport.writer, b"one\n");
    assert_eq!(read_exactly(&mut *transport.reader, 4), b"now\n");
    // The shell's read has found nothing yet, and has to wait.
    thread::sleep(std::time::Duration::from_millis(100));
    write_all(&mut *transport.writer, b"two\n");
    assert_eq!(read_exactly(&mut *transport.reader, 8), b"one two\n");
}

/// In a process of its own, whose standard input and output are no client's.
pub(super) fn bind_what_is_no_client(expected: &str) {
    let error = Endpoint::parse(ENDPOINT).unwrap().bind().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_file_or_a_terminal_is_no_client() {
    for (redirections, expected) in [
        ("</dev/null", "the standard input is a terminal or another device"),
        ("</etc/passwd", "the standard input is a file"),
    ] {
        let script = format!("exec \"$0\" \"$@\" {redirections} >/dev/null");
        let (status, stderr) = Child::spawn_by(&script, "stdio-misled", expected).output();
        assert!(status.success(), "{redirections}: {stderr}");
    }
    let script = "true | { \"$0\" \"$@\" >/dev/null; }";
    let expected = "the standard output is a terminal or another device";
    let (status, stderr) = Child::spawn_by(script, "stdio-misled", expected).output();
    assert!(status.success(), "{stderr}");
}

#[test]
fn sockets_will_do() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::Stdio;
    let _watchdog = Watchdog::new("a server over sockets".to_owned());
    // As inetd and some runtimes have it: one socket for both, or one each.
    for both in [true, false] {
        let (input, theirs) = UnixStream::pair().unwrap();
        let (output, their_output) = UnixStream::pair().unwrap();
        let their_output = if both { theirs.try_clone().unwrap() } else { their_output };
        let output = if both { input.try_clone().unwrap() } else { output };
        let mut child = echo()
            .command()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(their_output)))
            .spawn()
            .unwrap();
        let sent = stream(1, 0, 1 << 20);
        thread::scope(|scope| {
            scope.spawn(|| {
                std::io::Write::write_all(&mut &input, &sent).unwrap();
                input.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut back = Vec::new();
            std::io::Read::read_to_end(&mut &output, &mut back).unwrap();
            assert_same(&back, &sent);
        });
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_forwarder_that_dies_ends_the_connection() {
    let _watchdog = Watchdog::new("a forwarder that dies".to_owned());
    let mut transport = connect_to(&Launch::new("cat").over_stdio());
    write_all(&mut *transport.writer, b"x");
    assert_eq!(read_exactly(&mut *transport.reader, 1), b"x");
    let pid = nix::unistd::Pid::from_raw(super::pid(&transport).cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let error = read_some(&mut *transport.reader, &mut Vec::new(), 1).unwrap_err();
    assert_eq!(error.to_string(), "the server was killed by signal 15 (SIGTERM)");
    write_some(&mut *transport.writer, &[IoSlice::new(b"x")]).unwrap_err();
}
