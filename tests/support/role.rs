//! Other processes: this executable starts itself again, as the test `play` with a role to play, and
//! talks with it in lines over a Unix socket.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, ExitStatus, Stdio};

use ipcall::Launch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scratch::Scratch;
use super::waiting::until;
use super::watchdog::Watchdog;

const ROLE: &str = "IPCALL_TEST_ROLE";
const ABOUT: &str = "IPCALL_TEST_ABOUT";
const CONTROL: &str = "IPCALL_TEST_CONTROL";
/// So that only the role is played.
const ARGUMENTS: [&str; 4] = ["--exact", "play", "--nocapture", "--test-threads=1"];

/// Lines to and from another process, or another thread that plays its part.
pub(crate) struct Control {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Control {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { writer: stream.try_clone().unwrap(), reader: BufReader::new(stream) }
    }

    /// Two connected ends.
    pub(crate) fn pair() -> (Self, Self) {
        let (one, other) = UnixStream::pair().unwrap();
        (Self::new(one), Self::new(other))
    }

    /// Another writer of lines to the same place.
    pub(crate) fn writer(&self) -> UnixStream {
        self.writer.try_clone().unwrap()
    }

    /// Another who hears lines from the same place: each line is heard by one.
    pub(crate) fn listener(&self) -> Self {
        Self::new(self.writer())
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.writer, "{line}").unwrap();
    }

    /// The next line; `None` when the other side has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }
}

/// A process that plays a role. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pub(crate) control: Control,
}

impl Process {
    /// Starts to play `role` with `about`.
    pub(crate) fn start(role: &str, about: &str) -> Self {
        Self::start_by(&[], role, about)
    }

    /// The same by a program, with its arguments, that starts what follows them.
    pub(crate) fn start_by(starter: &[&str], role: &str, about: &str) -> Self {
        let scratch = Scratch::new();
        let path = scratch.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let own = std::env::current_exe().unwrap();
        let mut command = starter.iter().map(OsStr::new).chain([own.as_os_str()]);
        let child = Command::new(command.next().unwrap())
            .args(command)
            .args(ARGUMENTS)
            .env(ROLE, role)
            .env(ABOUT, about)
            .env(CONTROL, &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (stream, _) = listener.accept().unwrap();
        std::fs::remove_file(path).unwrap();
        Self { child, control: Control::new(stream) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.control.say(line);
    }

    /// The next line that it says.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        self.control.hear().expect("the other process has ended")
    }

    pub(crate) fn signal(&self, to_send: Signal) {
        signal(self.id(), to_send);
    }

    /// Stops it, as SIGSTOP does, and waits until it has; SIGCONT lets it go on.
    pub(crate) fn stop(&self) {
        stop(self.id());
    }

    /// `kill -9`, and the end of the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail for a child that has not been waited for; for one that has, both may.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that plays a role, and that somebody else starts: by what [`launch`](Self::launch) says.
pub(crate) struct Summons {
    role: String,
    about: String,
    scratch: Scratch,
    listener: UnixListener,
}

impl Summons {
    pub(crate) fn new(role: &str, about: &str) -> Self {
        let scratch = Scratch::new();
        let listener = UnixListener::bind(scratch.path().join("control")).unwrap();
        Self { role: role.to_owned(), about: about.to_owned(), scratch, listener }
    }

    /// What starts it. The shell in front of it is replaced by it, and keeps what the test harness has to
    /// say from this process's standard output.
    pub(crate) fn launch(&self) -> Launch {
        Launch::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" >/dev/null"])
            .arg(std::env::current_exe().unwrap())
            .args(ARGUMENTS)
            .env(ROLE, &self.role)
            .env(ABOUT, &self.about)
            .env(CONTROL, self.scratch.path().join("control"))
    }

    /// Waits until it has been started.
    pub(crate) fn control(self) -> Control {
        let (stream, _) = self.listener.accept().unwrap();
        std::fs::remove_file(self.scratch.path().join("control")).unwrap();
        Control::new(stream)
    }

    /// Nobody will start it.
    pub(crate) fn withdraw(self) {
        std::fs::remove_file(self.scratch.path().join("control")).unwrap();
    }
}

/// Sends a signal to a process that has not been waited for.
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// Stops a process, and waits until it has stopped.
pub(crate) fn stop(pid: u32) {
    signal(pid, Signal::SIGSTOP);
    until(|| is_stopped(pid));
}

/// Whether every thread of the process has stopped.
fn is_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.map(|thread| thread.unwrap().path().join("stat")).all(|stat| {
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        // The state stands behind the name, which is in parentheses.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

/// Plays the role that this process was started for, if there is one; to be called by the test `play`.
/// `act` is given the role, what it is about, and the lines from and to whoever started it.
pub(crate) fn play(act: impl FnOnce(&str, &str, Control)) {
    let Ok(role) = std::env::var(ROLE) else { return };
    let about = std::env::var(ABOUT).unwrap();
    let _watchdog = Watchdog::new(format!("role {role} {about}"));
    let stream = UnixStream::connect(std::env::var(CONTROL).unwrap()).unwrap();
    act(&role, &about, Control::new(stream));
}
