//! Other processes: this executable starts itself again, as the test `roles::play` with a role to play.

use std::io::{IoSlice, Read};
use std::process::{Command, ExitStatus, Stdio};

use ipcall_core::transport::{Connector, Transport};
use ipcall_transports::{Endpoint, Launch};

use crate::subject::{accept, bind};
use crate::waiting::{fill, read_exactly, read_some, write_all};
use crate::watchdog::{self, Watchdog};
use crate::{close, idle, leaks, queues};

const ROLE: &str = "IPCALL_TEST_ROLE";
const ABOUT: &str = "IPCALL_TEST_ABOUT";
/// So that only the role is played.
const ARGUMENTS: [&str; 4] = ["--exact", "roles::play", "--nocapture", "--test-threads=1"];

/// What starts a process that plays `role` with `about`. Its standard output, on which the test harness
/// has something to say, is its descriptor 5, for whoever wants it.
pub(crate) fn launch(role: &str, about: &str) -> Launch {
    Launch::new("sh")
        .args(["-c", "exec \"$0\" \"$@\" 5>&1 >/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(ARGUMENTS)
        .env(ROLE, role)
        .env(ABOUT, about)
}

/// A process that plays a role. Dropping it kills it.
pub(crate) struct Child(std::process::Child);

impl Child {
    /// Starts to play `role` with `about`, mostly an endpoint.
    pub(crate) fn spawn(role: &str, about: &str) -> Self {
        Self::start(&mut Command::new(std::env::current_exe().unwrap()), role, about)
    }

    /// The same by a shell that runs `script`, in which `"$0" "$@"` starts it.
    pub(crate) fn spawn_by(script: &str, role: &str, about: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(std::env::current_exe().unwrap());
        Self::start(&mut command, role, about)
    }

    fn start(command: &mut Command, role: &str, about: &str) -> Self {
        let child = command
            .args(ARGUMENTS)
            .env(ROLE, role)
            .env(ABOUT, about)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// `kill -9`, without waiting for the end.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
    }

    /// Waits for the end, and says what it was.
    pub(crate) fn output(mut self) -> (ExitStatus, String) {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.0.wait().unwrap(), text)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Neither can fail for a child that has not been waited for; for one that has, both may.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays a role, if there is one to play; an ordinary run of the tests has none.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let about = std::env::var(ABOUT).unwrap();
    let _watchdog = Watchdog::new(format!("role {role} {about}"));
    match role.as_str() {
        "idle-client" => idle(connect(&about)),
        "idle-server" => idle(serve(&about)),
        "busy-client" => busy(connect(&about)),
        "deaf-client" => deaf(connect(&about)),
        "nameless-server" => queues::serve_without_a_name(&about),
        "stranger" => queues::be_a_stranger(&about),
        "last-words" => queues::say_last_words(&about),
        "asleep" => idle::measure(&about),
        "sigpipe" => close::write_with_deadly_sigpipe(&about),
        "audit" => leaks::audit(&about),
        "planted-leak" => leaks::plant_a_leak(&about),
        "hang" => watchdog::plant_a_hang(),
        other => crate::launched::play(other, &about),
    }
}

/// Says that it is there, and waits for the end.
pub(crate) fn idle(mut transport: Transport) {
    write_all(&mut *transport.writer, b"!");
    let _ = read_some(&mut *transport.reader, &mut Vec::new(), 1);
}

/// Writes for as long as somebody reads.
fn busy(mut transport: Transport) {
    let chunk = vec![b'!'; 5000];
    while crate::waiting::write_some(&mut *transport.writer, &[IoSlice::new(&chunk)]).is_ok() {}
}

/// Says that it is there, and reads nothing of what comes, until it is asked for an end that does not
/// come.
fn deaf(mut transport: Transport) {
    // Waited for, because a connection that is still being made takes nothing.
    write_all(&mut *transport.writer, b"!");
    fill(&mut *transport.writer, |_| vec![b'!'; 5000]);
    loop {
        std::thread::park();
    }
}

fn connect(uri: &str) -> Transport {
    Endpoint::parse(uri).unwrap().try_connect().unwrap()
}

fn serve(uri: &str) -> Transport {
    let mut listener = bind(&Endpoint::parse(uri).unwrap());
    let mut transport = accept(&mut *listener);
    assert_eq!(read_exactly(&mut *transport.reader, 1), b"?");
    // Kept, so that its name is there when this process is killed.
    std::mem::forget(listener);
    transport
}

/// Makes `SIGPIPE` kill again, which the Rust runtime has seen to that it does not.
pub(crate) fn make_sigpipe_deadly() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default disposition runs no code of ours.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
}
