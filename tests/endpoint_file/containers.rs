//! Two containers with one volume: a mount and a pid namespace for each, in which the volume has another
//! path.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use ipcall::transport::Connector;
use ipcall::{Endpoint, ErrorKind};

use crate::support::role::{Control, Summons};
use crate::support::scratch::Scratch;
use crate::support::waiting::until;
use crate::support::{Serving, Waits, is_gone, rpc_error};
use crate::{EchoBlockingClient, echo, endpoint, not_tested};

/// What a container runs before the role: `$0` is the volume, `$1` the place where it has it, and the
/// rest the role.
const ENTRY: &str = r#"mount --bind "$0" "$1" && shift && exec "$@""#;

/// A process with namespaces of its own. Dropping it kills it.
struct Container {
    child: Child,
    control: Control,
}

/// Whether this user may make namespaces.
fn can_contain() -> bool {
    let made = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--mount-proc", "true"])
        .stderr(Stdio::null())
        .status();
    let can = made.is_ok_and(|status| status.success());
    if !can {
        not_tested("this user may not make mount and pid namespaces");
    }
    can
}

impl Container {
    /// Plays `role` at `uri`, where it has the volume at `at`.
    fn start(volume: &Path, at: &str, role: &str, uri: &str) -> Self {
        let summons = Summons::new(role, uri);
        let command = summons.launch().command();
        let child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", ENTRY])
            .arg(volume)
            .arg(at)
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .spawn()
            .unwrap();
        Self { child, control: summons.control() }
    }

    fn hear(&mut self) -> String {
        self.control.hear().expect("the container has ended")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Its child is killed with it. Both fail only for one that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_containers_talk_through_a_volume() {
    if !can_contain() {
        return;
    }
    let volume = Scratch::new();
    for waits in ["CurrentThread", "Threads"] {
        let place = "file:/mnt/ipc/echo";
        let mut server =
            Container::start(volume.path(), "/mnt", "server", &format!("{waits} {place}"));
        assert_eq!(server.hear(), "serving as 1");
        let mut client =
            Container::start(volume.path(), "/media", "client", "file:/media/ipc/echo");
        assert_eq!(client.hear(), "called");
        // A client that is killed is forgotten, and another one served.
        let mut other = Container::start(volume.path(), "/srv", "client", "file:/srv/ipc/echo");
        assert_eq!(other.hear(), "called");
        drop(other);
        client.control.say("again");
        assert_eq!(client.hear(), "called");
        // A server that is killed is missed.
        client.control.say("go on");
        drop(server);
        assert_eq!(client.hear(), "the server has gone");
        let place = volume.path().join("ipc/echo");
        assert!(place.exists(), "what a killed server leaves");
        // A container's processes end after what has started them.
        until(|| is_absent(&place));
    }
    // The next one has removed it; and this is the last.
    let mut server =
        Container::start(volume.path(), "/mnt", "server", "Threads file:/mnt/ipc/echo");
    assert_eq!(server.hear(), "serving as 1");
    server.control.say("end");
    assert_eq!(server.hear(), "ended");
    assert!(!volume.path().join("ipc/echo").exists());
    std::fs::remove_dir(volume.path().join("ipc")).unwrap();
}

/// Whether nobody holds the place any more.
fn is_absent(place: &Path) -> bool {
    let connected = endpoint(place).try_connect();
    connected.is_err_and(|error| matches!(error.kind(), ErrorKind::ServerAbsent { .. }))
}

/// Serves until told to end.
pub(crate) fn serve(about: &str, mut control: Control) {
    let (waits, uri) = about.split_once(' ').unwrap();
    let waits = if waits == "Threads" { Waits::Threads } else { Waits::CurrentThread };
    let serving = Serving::start(waits, echo(), &Endpoint::parse(uri).unwrap());
    control.say(&format!("serving as {}", std::process::id()));
    control.hear();
    drop(serving);
    control.say("ended");
}

/// Calls, once more when asked to, and then until the server has gone.
pub(crate) fn call(uri: &str, mut control: Control) {
    let endpoint = Endpoint::parse(uri).unwrap();
    let client = EchoBlockingClient::connect(&endpoint).unwrap();
    for _ in 0..2 {
        let data = vec![42; 3 << 20];
        assert_eq!(client.echo(data.clone()).unwrap(), data);
        control.say("called");
        if control.hear().is_none() {
            return;
        }
    }
    let error = loop {
        if let Err(error) = client.echo(vec![2]) {
            break rpc_error(Err::<(), _>(error));
        }
    };
    assert!(is_gone(&error), "{error:?}");
    control.say("the server has gone");
}
