//! What a test is about: one transport, and fresh endpoints of it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use ipcall::{Endpoint, Scheme, Settings, schemes};

use super::quota::turn;
use super::scratch::Scratch;
use super::watchdog::Watchdog;

/// One transport, and a directory for its names that has to be empty at the end.
pub(crate) struct Subject {
    scheme: &'static Scheme,
    scratch: Scratch,
}

/// Names the transports to test, separated by commas, where all of them take too long: for work on one.
const ONLY: &str = "IPCALL_TEST_SCHEMES";

/// Runs `test` over every transport that this platform offers, each under a watchdog. A transport that
/// is registered later appears here by that alone.
pub(crate) fn over_every_scheme(test: impl Fn(&Subject)) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let only = std::env::var(ONLY).ok();
    let is_wanted = |scheme: &&Scheme| {
        only.as_ref().is_none_or(|only| only.split(',').any(|name| name == scheme.name))
    };
    for scheme in schemes().iter().filter(|scheme| scheme.is_available()).filter(is_wanted) {
        let _turn = turn(scheme.name);
        let _watchdog = Watchdog::new(format!("{name} over {}", scheme.name));
        // Shown if the test fails.
        println!("over {}:", scheme.name);
        test(&Subject { scheme, scratch: Scratch::new() });
    }
}

/// Like [`over_every_scheme`], with servers in processes of their own that clients find by a name: without
/// the transports whose two sides have to be in one process, and those whose clients start their servers
/// ([`where_clients_start_servers`]).
pub(crate) fn between_processes(test: impl Fn(&Subject)) {
    over_every_scheme(|subject| {
        if !subject.is_in_process() {
            test(subject);
        }
    });
}

/// Like [`over_every_scheme`], only with the transports whose clients start their servers.
pub(crate) fn where_clients_start_servers(test: impl Fn(&Subject)) {
    over_every_scheme(|subject| {
        if subject.scheme.starts_server {
            test(subject);
        }
    });
}

impl Subject {
    /// The transport called `scheme`.
    pub(crate) fn named(scheme: &str) -> Self {
        let scheme = schemes().iter().find(|known| known.name == scheme).unwrap();
        Self { scheme, scratch: Scratch::new() }
    }

    pub(crate) fn scheme(&self) -> &'static Scheme {
        self.scheme
    }

    /// Whether both sides of its endpoints are in this process: they have to be, or are because there is
    /// no server for others to find.
    pub(crate) fn is_in_process(&self) -> bool {
        self.scheme.in_process || self.scheme.starts_server
    }

    /// The directory of its names.
    pub(crate) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// What its names have left in the file system.
    pub(crate) fn entries(&self) -> Vec<String> {
        self.scratch.entries()
    }

    /// An endpoint that nobody uses yet.
    pub(crate) fn endpoint(&self) -> Endpoint {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        self.scheme.fresh(self.scratch.path(), &format!("e{number}")).unwrap()
    }

    /// The same with other settings.
    pub(crate) fn endpoint_with(&self, change: impl FnOnce(&mut Settings)) -> Endpoint {
        let mut endpoint = self.endpoint();
        change(endpoint.settings_mut());
        endpoint
    }
}

/// The same place with other settings, for a side that is configured differently.
pub(crate) fn with(endpoint: &Endpoint, change: impl FnOnce(&mut Settings)) -> Endpoint {
    let mut other = endpoint.clone();
    change(other.settings_mut());
    other
}
