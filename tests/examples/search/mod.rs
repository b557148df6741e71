//! The search pair: what it finds, and that it stops.

mod finding;
mod stopping;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ipcall::{Endpoint, Launch, Scheme, schemes};
use nix::sys::signal::Signal;

use crate::processes::{Finished, Process, example, listening};
use crate::scratch::Scratch;

/// A directory that is removed again.
struct Tree(PathBuf);

impl Tree {
    fn new(scratch: &Scratch, name: &str) -> Self {
        let root = scratch.path().join(name);
        fs::create_dir(&root).unwrap();
        Self(root)
    }

    fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// `count` names of one file, in several directories: little to write, much to read.
    fn of_links(scratch: &Scratch, name: &str, count: usize, content: &str) -> Self {
        let tree = Self::new(scratch, name);
        tree.write("d0/f0", content);
        for number in 1..count {
            let directory = tree.0.join(format!("d{}", number / 100));
            if number % 100 == 0 {
                fs::create_dir(&directory).unwrap();
            }
            fs::hard_link(tree.0.join("d0/f0"), directory.join(format!("f{number}"))).unwrap();
        }
        tree
    }

    /// 20 GiB to read: more than anybody does before it is told to stop.
    fn endless(scratch: &Scratch) -> Self {
        let line = "to be or not to be, that is the question\n";
        Self::of_links(scratch, "endless", ENDLESS, &line.repeat((4 << 20) / line.len()))
    }
}

/// How many files there are in [`Tree::endless`].
const ENDLESS: usize = 5000;

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that says when a search begins, and where it is. Clients of some start theirs themselves.
struct Served {
    endpoint: Endpoint,
    server: Option<Process>,
}

impl Served {
    fn over(scheme: &Scheme, scratch: &Scratch) -> Self {
        let program = example("search_server");
        let launch =
            |uri: &str| Launch::new(program.get_program()).args(["--verbose", "--endpoint", uri]);
        let (endpoint, launch) = scheme.fresh_with(scratch.path(), "search", launch).unwrap();
        let server = launch.map(|launch| listening(&mut launch.command(), endpoint.uri()));
        Self { endpoint, server }
    }

    fn over_unix(scratch: &Scratch) -> Self {
        Self::over(named("unix"), scratch)
    }

    /// A search for `pattern` below `path`.
    fn client(&self, pattern: &str, path: &Path) -> Command {
        let mut command = example("search_client");
        command.arg("--endpoint").arg(self.endpoint.uri()).arg(pattern).arg(path);
        command
    }

    /// Starts a client, and waits until its search has begun.
    fn begin(&mut self, command: &mut Command) -> Process {
        let mut client = Process::start(command);
        let line = self.server.as_mut().unwrap_or(&mut client).error_line();
        assert!(line.starts_with("search_server: search for "), "{line}");
        assert!(line.ends_with(" begins\n"), "{line}");
        client
    }

    /// Stops the server, and returns what it has said since: to `client`, if that has started it.
    fn stop(self, client: Finished) -> String {
        match self.server {
            Some(server) => {
                server.signal(Signal::SIGTERM);
                server.finish().expect(0).stderr
            }
            None => client.stderr,
        }
    }
}

fn named(name: &str) -> &'static Scheme {
    schemes().iter().find(|scheme| scheme.name == name).unwrap()
}
