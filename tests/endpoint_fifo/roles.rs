//! Other processes, some of them somebody else's: this executable starts itself again.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use crate::support::Watchdog;
use crate::{dying, owners, resting, small_pipes};

const ROLE: &str = "IPCALL_TEST_ROLE";
const ABOUT: &str = "IPCALL_TEST_ABOUT";

/// Who has nothing to do with root.
pub(crate) const SOMEBODY_ELSE: u32 = 65_534;

/// A process that plays a role. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// The same user's.
    pub(crate) fn start(role: &str, about: &str) -> Self {
        Self::new(command(role, about).spawn().unwrap())
    }

    /// Somebody else's; `None` where this user cannot become that one, or that one cannot run this.
    pub(crate) fn start_as_somebody_else(role: &str, about: &str) -> Option<Self> {
        match command(role, about).uid(SOMEBODY_ELSE).gid(SOMEBODY_ELSE).spawn() {
            Ok(child) => Some(Self::new(child)),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
                println!("not tested: there is nobody else to be");
                None
            }
        }
    }

    fn new(mut child: Child) -> Self {
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said this.
    pub(crate) fn wait_for(&mut self, word: &str) {
        let said = (&mut self.output).lines().any(|line| line.unwrap().contains(word));
        assert!(said, "it has ended without saying `{word}`");
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        // What else it says has to go somewhere.
        io::copy(&mut self.output, &mut io::sink()).unwrap();
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

fn command(role: &str, about: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "roles::play", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(ABOUT, about)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Waits until the process that has started this one wants it to end.
pub(crate) fn until_told() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// Plays a role, if there is one to play; an ordinary run of the tests has none.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let about = std::env::var(ABOUT).unwrap();
    let _watchdog = Watchdog::new(format!("role {role} {about}"));
    match role.as_str() {
        "stranger" => owners::try_everything(about.as_ref()),
        "squatter" => owners::squat(about.as_ref()),
        "poor" => small_pipes::live_with_small_pipes(about.as_ref()),
        "deaf" => dying::be_deaf(about.as_ref()),
        "half-way" => dying::go_half_way(about.as_ref()),
        "resting" => resting::rest(about.as_ref()),
        other => panic!("nobody has written the role {other}"),
    }
}
