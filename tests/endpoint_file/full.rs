//! A disk that is full: whoever writes is told so, the other side sees that something is missing, and
//! there is space again afterwards.

use std::path::Path;
use std::process::Command;

use crate::support::role::Summons;
use crate::support::scratch::Scratch;
use crate::support::{Serving, Waits, rpc_error};
use crate::{EchoBlockingClient, echo, endpoint, not_tested};

#[test]
fn a_full_disk_is_said_to_be_full() {
    let scratch = Scratch::new();
    let summons = Summons::new("full", scratch.path().to_str().unwrap());
    let command = summons.launch().command();
    // A mount namespace of its own, so that nothing stays mounted.
    let mount = r#"mount -t tmpfs -o size=300k,mode=700 ipcall-test "$0" || exit 77; exec "$@""#;
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", mount])
        .arg(scratch.path())
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .spawn();
    let Ok(mut child) = status else { return skip(summons) };
    match child.wait().unwrap().code() {
        Some(0) => summons.withdraw(),
        Some(1 | 77) => skip(summons),
        other => panic!("{other:?}: see above"),
    }
}

fn skip(summons: Summons) {
    not_tested("this user may not mount a small file system");
    summons.withdraw();
}

/// In a process where `directory` is a small file system.
pub(crate) fn run_out_of_space(directory: &Path) {
    let endpoint = endpoint(&directory.join("a"));
    for waits in [Waits::CurrentThread, Waits::Threads, Waits::MultiThread] {
        let serving = Serving::start(waits, echo(), &endpoint);
        let client = EchoBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(client.echo(vec![1; 1000]).unwrap().len(), 1000);
        let error = rpc_error(client.echo(vec![1; 1 << 20]));
        let text =
            format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(text.contains("no space left"), "{text}");
        // What it had is free again, for the next one, once both sides have closed it.
        drop((client, serving));
    }
}
