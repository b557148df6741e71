//! What a limit does not allow is said, with the limit's name and value, and goes when the limit is raised.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use ipcall::RpcError;
use ipcall::transport::{Binder, Connector};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::role::Summons;
use crate::support::scratch::Scratch;
use crate::{endpoint, not_tested};

/// The limits of a user namespace; those of the system hold as well.
const INSTANCES: &str = "/proc/sys/user/max_inotify_instances";
const WATCHES: &str = "/proc/sys/user/max_inotify_watches";

#[test]
fn what_is_used_up_is_named() {
    let scratch = Scratch::new();
    let summons = Summons::new("poor", scratch.path().to_str().unwrap());
    let command = summons.launch().command();
    let entry = format!(r#"test -w {INSTANCES} || exit 77; exec "$0" "$@""#);
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &entry])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .status();
    match child.map(|status| status.code()) {
        Ok(Some(0)) => {}
        Err(_) | Ok(Some(1 | 77)) => not_tested("this user may not make a user namespace"),
        Ok(other) => panic!("{other:?}: see above"),
    }
    summons.withdraw();
}

#[track_caller]
fn assert_names(error: &RpcError, text: &str) {
    let all = format!("{error} {:?}", error.source().map(ToString::to_string));
    assert!(all.contains(text), "{all}");
}

/// In a user namespace, whose limits this process may change.
pub(crate) fn live_with_little(directory: &Path) {
    let endpoint = endpoint(&directory.join("a"));
    let set = |limit: &str, value: &str| fs::write(limit, value).unwrap();

    set(INSTANCES, "0");
    let error = endpoint.bind().map(drop).unwrap_err();
    assert_names(&error, "fs.inotify.max_user_instances");
    set(INSTANCES, "1");
    let mut listening = endpoint.bind().unwrap();
    // The second to use the one that the process has.
    let client = endpoint.try_connect().unwrap();
    drop(listening.listener.try_accept().unwrap());
    drop(client);

    set(WATCHES, "3");
    let error = endpoint.try_connect().unwrap_err();
    assert_names(&error, "fs.inotify.max_user_watches");
    set(WATCHES, "100");
    drop(endpoint.try_connect().unwrap());

    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 1000, most).unwrap();
    assert_names(&endpoint.try_connect().unwrap_err(), "RLIMIT_FSIZE lets this process write 1000");
    setrlimit(Resource::RLIMIT_FSIZE, most, most).unwrap();
    drop(endpoint.try_connect().unwrap());
}
