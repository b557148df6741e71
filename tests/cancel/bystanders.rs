//! Who is rung, and who is not: the doorbell reaches the server's own process as long as that serves, and neither what it
//! becomes, nor what it has started, nor who gets its number afterwards.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use ipcall::{CancelToken, Endpoint, RpcError, Signals};
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal as nix_signal};
use tokio::task::JoinHandle;

use crate::doorbell::{LINGERING, fill, narrow};
use crate::labour::{LabourClient, State};
use crate::support::role::{Control, Process, signal};
use crate::support::scratch::Scratch;
use crate::support::serving::run;
use crate::support::subject::{Subject, between_processes};
use crate::support::waiting::until;
use crate::support::{Serving, Waits, rpc_error};

/// A process that serves at an endpoint, and says when asked how many calls linger, and how often it was rung.
struct Server(Process);

/// Handlers that were started, and those that have ended; calls that linger; times that it was rung.
struct Counts {
    started: u32,
    ended: u32,
    lingering: u32,
    rings: u32,
}

impl Server {
    fn start(waits: Waits, endpoint: &Endpoint, what: &str) -> Self {
        let kind = Waits::ALL.iter().position(|kind| *kind == waits).unwrap();
        let signals = match endpoint.settings().signals == Signals::URGENT {
            true => "urgent",
            false => "realtime",
        };
        let mut server =
            Process::start("rung", &format!("{kind} {signals} {what} {}", endpoint.uri()));
        assert_eq!(server.hear(), "serving");
        Self(server)
    }

    fn counts(&mut self) -> Counts {
        self.0.say("counts");
        let counts = self.0.hear();
        let mut counts = counts.split(' ').map(|count| count.parse().unwrap());
        let [started, ended, lingering, rings] = std::array::from_fn(|_| counts.next().unwrap());
        Counts { started, ended, lingering, rings }
    }

    /// Waits for what others do in this runtime, too.
    async fn until(&mut self, condition: impl Fn(Counts) -> bool) {
        while !condition(self.counts()) {
            tokio::task::yield_now().await;
        }
    }
}

/// Signals that the process itself has handled.
static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_signal: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// The role of the server.
pub(crate) fn serve(about: &str, mut control: Control) {
    let mut about = about.splitn(4, ' ');
    let mut next = || about.next().unwrap();
    let (kind, signals, what, uri) = (next(), next(), next(), next());
    let mut endpoint = Endpoint::parse(uri).unwrap();
    let signals = match signals {
        "urgent" => Signals::URGENT,
        _ => Signals::realtime(6).unwrap(),
    };
    narrow(endpoint.settings_mut(), signals);
    if what == "exhausted" {
        setrlimit(Resource::RLIMIT_SIGPENDING, 0, 0).unwrap();
    }
    if what == "handled" {
        // SAFETY: all that the handler does is to add to an atomic, which it may.
        unsafe { nix_signal(Signal::SIGURG, SigHandler::Handler(count)) }.unwrap();
    }
    let state = State::new();
    let serving =
        Serving::start(Waits::ALL[kind.parse::<usize>().unwrap()], state.server(), &endpoint);
    control.say("serving");
    while let Some(line) = control.hear() {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("counts", _) => {
                let (rings, lingering) = (serving.stats().rings(), state.lingering());
                control.say(&format!("{} {} {lingering} {rings}", state.started(), state.ended()));
            }
            ("handled", _) => control.say(&HANDLED.load(Ordering::SeqCst).to_string()),
            ("open", _) => state.gate.add_permits(1 << 20),
            ("handle", marks) => panic!("{}", image(Path::new(marks), true).exec()),
            ("ignore", marks) => panic!("{}", image(Path::new(marks), false).exec()),
            ("end", _) => break,
            _ => panic!("{line}"),
        }
    }
    state.gate.add_permits(1 << 20);
    serving.shutdown();
    serving.join();
}

/// A program that makes the file `ready`; `rung` when it gets SIGURG, if it handles that; and then `seen` where it finds
/// `look`. It ends where it finds `end`.
fn image(marks: &Path, handles: bool) -> Command {
    let mut command = Command::new("sh");
    let trap = if handles { "trap ': > \"$0/rung\"' URG; " } else { "" };
    let script = ": > \"$0/ready\"; while [ ! -e \"$0/end\" ]; do \
                  if [ -e \"$0/look\" ]; then : > \"$0/seen\"; fi; sleep 0.01; done";
    command.arg("-c").arg([trap, script].concat()).arg(marks);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Where an [`image`] leaves its marks.
struct Marks(Scratch);

impl Marks {
    fn new() -> Self {
        Self(Scratch::new())
    }

    fn path(&self, mark: &str) -> PathBuf {
        self.0.path().join(mark)
    }

    fn is_there(&self, mark: &str) -> bool {
        self.path(mark).exists()
    }

    /// Whether the program has got a signal that was sent before this. One that ends it is found when its end is waited for.
    fn is_rung(&self, is_there: impl Fn() -> bool) -> bool {
        fs::write(self.path("look"), "").unwrap();
        until(|| self.is_there("seen") || !is_there());
        fs::remove_file(self.path("look")).unwrap();
        self.is_there("rung")
    }

    /// Lets the program end, of which the end is then to be waited for.
    fn end(&self) {
        fs::write(self.path("end"), "").unwrap();
    }

    /// To be called when the program has ended.
    fn remove(self) {
        for mark in ["ready", "seen", "end"] {
            fs::remove_file(self.path(mark)).unwrap();
        }
        // If it has shown that it would have noticed.
        let _ = fs::remove_file(self.path("rung"));
    }
}

/// Whether this child has not ended.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// A client whose call is about to be cancelled while all is stuck.
struct Stuck {
    client: LabourClient,
    token: CancelToken,
    call: JoinHandle<RpcError>,
}

impl Stuck {
    async fn new(endpoint: &Endpoint, server: &mut Server) -> Self {
        let token = CancelToken::new();
        let client = LabourClient::connect(endpoint).await.unwrap();
        let patient = client.with_cancel_token(&token);
        let call = tokio::spawn(async move { rpc_error(patient.wait_knowing().await) });
        server.until(|counts| counts.started == 1).await;
        fill(&client, || server.counts().lingering == LINGERING).await;
        Self { client, token, call }
    }
}

fn endpoint_of(subject: &Subject, signals: Signals) -> Endpoint {
    subject.endpoint_with(|settings| narrow(settings, signals))
}

#[test]
fn a_server_in_a_process_of_its_own_is_rung() {
    between_processes(|subject| {
        if ["tcp", "file"].contains(&subject.scheme().name) {
            return;
        }
        // A real-time signal reaches its process also when none can be queued any more.
        let realtime = Signals::realtime(6).unwrap();
        let cases =
            [(Signals::URGENT, "plain"), (Signals::URGENT, "exhausted"), (realtime, "exhausted")];
        for (waits, (signals, what)) in
            Waits::TOKIO.into_iter().flat_map(|waits| cases.map(|case| (waits, case)))
        {
            let endpoint = endpoint_of(subject, signals);
            let mut server = Server::start(waits, &endpoint, what);
            run(async {
                let Stuck { client, token, call } = Stuck::new(&endpoint, &mut server).await;
                token.cancel();
                call.await.unwrap();
                // Others go on, as those do that write what was stuck.
                server.until(|counts| counts.ended == 1).await;
                assert!(server.counts().rings > 0);
                server.0.say("open");
                assert_eq!(client.add(1, 2).await.unwrap(), 3);
            });
            server.0.say("end");
            assert!(server.0.wait().success());
        }
    });
}

#[test]
fn a_handler_that_was_there_before_goes_on_being_called() {
    let subject = Subject::named("unix");
    for waits in Waits::ALL {
        let endpoint = endpoint_of(&subject, Signals::URGENT);
        let mut server = Server::start(waits, &endpoint, "handled");
        until(|| {
            // The first may come before it is a doorbell.
            server.0.signal(Signal::SIGURG);
            server.counts().rings > 0
        });
        server.0.say("handled");
        assert_ne!(server.0.hear(), "0");
        server.0.say("end");
        assert!(server.0.wait().success());
    }
}

#[test]
fn what_a_server_becomes_by_exec_is_not_rung() {
    between_processes(|subject| {
        for signals in [Signals::URGENT, Signals::realtime(6).unwrap()] {
            // Over some transports nothing shows the end of the connection as long as the process lives, but that it has
            // no handler.
            let handles = ["unix", "shm"].contains(&subject.scheme().name);
            let (endpoint, marks) = (endpoint_of(subject, signals), Marks::new());
            let mut server = Server::start(Waits::CurrentThread, &endpoint, "plain");
            run(async {
                let Stuck { token, call, .. } = Stuck::new(&endpoint, &mut server).await;
                // No other task of this thread runs meanwhile, so that nobody notices what happens.
                let becomes = if handles { "handle" } else { "ignore" };
                server.0.say(&format!("{becomes} {}", marks.0.path().display()));
                until(|| marks.is_there("ready"));
                token.cancel();
                call.await.unwrap();
            });
            let pid = server.0.id();
            assert!(!marks.is_rung(|| is_alive(pid)), "it was rung");
            marks.end();
            assert!(server.0.wait().success());
            marks.remove();
            clean_up(&endpoint);
        }
    });
}

/// Removes what a server has left that did not end by itself, as the next one does.
fn clean_up(endpoint: &Endpoint) {
    let mut next = Server::start(Waits::CurrentThread, endpoint, "plain");
    next.0.say("end");
    assert!(next.0.wait().success());
}

/// Starts to play the role `reuse` as the first process but for one of a pid namespace, if that is allowed here.
fn in_a_pid_namespace() -> Option<Process> {
    let prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut probe = Command::new(prefix[0]);
    probe.args(&prefix[1..]).args(["sh", "-c", "echo 100 > /proc/sys/kernel/ns_last_pid"]);
    match probe.stderr(Stdio::piped()).output() {
        Ok(output) if output.status.success() => Some(Process::start_by(&prefix, "reuse", "unix")),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            eprintln!("SKIPPED: no pid namespace can be made here: {why}");
            None
        }
        Err(error) => {
            eprintln!("SKIPPED: unshare(1) cannot be run: {error}");
            None
        }
    }
}

#[test]
fn who_gets_the_number_of_a_dead_server_is_not_rung() {
    let Some(mut other) = in_a_pid_namespace() else { return };
    assert_eq!(other.hear(), "unharmed");
    assert!(other.wait().success());
}

/// A process with this number, which nobody else has.
fn start_as(pid: u32, marks: &Marks) -> Child {
    loop {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut child = image(marks.0.path(), true).spawn().unwrap();
        if child.id() == pid {
            return child;
        }
        // Another thread of this process was faster.
        child.kill().unwrap();
        child.wait().unwrap();
        thread::yield_now();
    }
}

/// The role of the first process of a namespace: a client whose server dies, and leaves its number to somebody else.
pub(crate) fn reuse(_about: &str, mut control: Control) {
    for signals in [Signals::URGENT, Signals::realtime(6).unwrap()] {
        let (subject, marks) = (Subject::named("unix"), Marks::new());
        let endpoint = endpoint_of(&subject, signals);
        let mut server = Server::start(Waits::CurrentThread, &endpoint, "plain");
        let pid = server.0.id();
        run(async {
            let Stuck { token, call, .. } = Stuck::new(&endpoint, &mut server).await;
            // No other task of this thread runs meanwhile, so that nobody notices what happens.
            server.0.kill();
            let mut bystander = start_as(pid, &marks);
            until(|| marks.is_there("ready"));
            token.cancel();
            call.await.unwrap();
            assert!(!marks.is_rung(|| is_alive(pid)), "it was rung");
            // It would have noticed.
            signal(pid, Signal::SIGURG);
            until(|| marks.is_there("rung"));
            marks.end();
            assert!(bystander.wait().unwrap().success());
        });
        marks.remove();
        clean_up(&endpoint);
    }
    control.say("unharmed");
}
