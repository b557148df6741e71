//! The queues of all processes of a user share one quota: tests over them run one after the other, also
//! those of different executables.

use std::fs::File;

use nix::fcntl::{Flock, FlockArg};

/// Held by the test whose turn it is.
pub(crate) struct Turn(#[expect(dead_code, reason = "dropping it is its use")] Flock<File>);

/// Waits for a test's turn, if the transport `scheme` has such a quota. Not to be asked for twice at a time
/// by one thread.
pub(crate) fn turn(scheme: &str) -> Option<Turn> {
    let is_scarce = scheme == "posix-mq";
    is_scarce.then(|| {
        // A directory that is there anyway, and the same for everybody.
        let place = File::open(std::env::temp_dir()).unwrap();
        Turn(Flock::lock(place, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap())
    })
}
