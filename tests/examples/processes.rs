//! Processes under a watchdog, and the files that they are given.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a process may run.
const LIMIT: Duration = Duration::from_secs(180);

/// A command for an example, in the directory of the package, without variables of ipcall.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    // The test is target/<profile>/deps/examples-<hash>.
    let path = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(path.exists(), "{} is not there: run `cargo build --examples`", path.display());
    let mut command = Command::new(path);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env_remove("IPCALL_WORDCOUNT_ENDPOINT").env_remove("IPCALL_SEARCH_ENDPOINT");
    command
}

/// A running process. It is killed when it takes too long, or when this is dropped.
pub(crate) struct Process {
    child: Arc<Mutex<Child>>,
    pid: Pid,
    stdout: BufReader<ChildStdout>,
    stderr: Option<BufReader<ChildStderr>>,
    /// Dropping it calls the watchdog off.
    _alive: Sender<()>,
}

/// What a process left.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        Self::start_with_input(command)
    }

    /// Starts it with the standard input that is set.
    fn start_with_input(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = child.stderr.take().map(BufReader::new);
        let child = Arc::new(Mutex::new(child));
        let (alive, over) = mpsc::channel();
        let watched = Arc::clone(&child);
        thread::spawn(move || {
            if over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                eprintln!("watchdog: process {pid} still runs after {LIMIT:?}");
                // Does nothing to a process that has been waited for.
                let _ = watched.lock().unwrap().kill();
            }
        });
        Self { child, pid, stdout, stderr, _alive: alive }
    }

    /// The next line of its standard output; empty if there is none.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// The next line of its standard error; empty if there is none. What its own processes say there is
    /// among them.
    pub(crate) fn error_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// Waits until it has ended and nobody holds its output any more, no process of its own either.
    pub(crate) fn finish(mut self) -> Finished {
        let mut stderr = self.stderr.take().unwrap();
        let errors = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let stderr = errors.join().unwrap();
        let status = self.child.lock().unwrap().wait().unwrap();
        Finished { status, stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(mut child) = self.child.lock() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Finished {
    /// Asserts the exit status, and shows what the process said if it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        let Self { status, stdout, stderr } = &self;
        assert_eq!(status.code(), Some(code), "{status}\nstdout: {stdout}\nstderr: {stderr}");
        self
    }
}

/// Starts a server, and waits until clients can connect.
pub(crate) fn listening(command: &mut Command, endpoint: &str) -> Process {
    let mut process = Process::start(command);
    let line = process.line();
    if line.is_empty() {
        panic!("the server ended: {}", process.finish().stderr);
    }
    assert_eq!(line, format!("listening at {endpoint}\n"));
    process
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Finished {
    Process::start(command).finish()
}

/// Runs a command that reads `input`, which has to fit into a pipe.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Finished {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let process = Process::start_with_input(command.stdin(reader));
    // The command keeps its copy of the reading end.
    command.stdin(Stdio::null());
    writer.write_all(input).unwrap();
    drop(writer);
    process.finish()
}

/// A file that is removed again.
pub(crate) struct Written(PathBuf);

impl Written {
    pub(crate) fn new(path: PathBuf, content: impl AsRef<[u8]>) -> Self {
        fs::write(&path, content).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
