//! Searches that are stopped in the middle, over every transport between processes.

use std::os::unix::process::ExitStatusExt;

use ipcall::schemes;
use nix::sys::signal::Signal;

use super::{ENDLESS, Served, Tree, named};
use crate::processes::run;
use crate::scratch::Scratch;

/// In no file of [`Tree::endless`], and not found fast.
const PATTERN: &str = "[n-z]{3} [a-e]{4}x";

/// Runs `test` for each transport between processes.
fn between_processes(test: impl Fn(Served, &Scratch)) {
    for scheme in schemes().iter().filter(|scheme| scheme.is_available() && !scheme.in_process) {
        // Shown if the test fails.
        println!("over {}:", scheme.name);
        let scratch = Scratch::new();
        test(Served::over(scheme, &scratch), &scratch);
    }
}

/// Where the server says it has stopped: after how many files and bytes, and why.
#[track_caller]
fn stopped(stderr: &str) -> (usize, u64, &str) {
    let (_, said) = stderr.split_once(" stopped after ").expect(stderr);
    let line = said.lines().next().unwrap();
    let (files, rest) = line.split_once(" files, ").unwrap();
    let (bytes, why) = rest.split_once(" bytes: ").unwrap();
    (files.parse().unwrap(), bytes.parse().unwrap(), why)
}

#[test]
fn ctrl_c_in_the_client_stops_the_server() {
    between_processes(|mut served, scratch| {
        let tree = Tree::endless(scratch);
        let mut command = served.client(PATTERN, &tree.0);
        let client = served.begin(&mut command);
        client.signal(Signal::SIGINT);
        let finished = client.finish().expect(130);
        assert!(finished.stderr.contains("search_client: interrupted\n"), "{}", finished.stderr);
        assert_eq!(finished.stdout, "");
        let said = served.stop(finished);
        let (files, _, why) = stopped(&said);
        assert!(files < ENDLESS);
        assert!(["the call was cancelled", "the caller is gone"].contains(&why), "{why}");
    });
}

#[test]
fn a_deadline_stops_the_server() {
    between_processes(|served, scratch| {
        let tree = Tree::endless(scratch);
        let mut said = String::new();
        let mut last = None;
        // Of the first the server may not even hear.
        for deadline in ["1ms", "50ms", "500ms"] {
            let mut command = served.client(PATTERN, &tree.0);
            let finished = run(command.args(["--deadline", deadline])).expect(124);
            // Where the server tells it is what was left when the call came.
            assert!(finished.stderr.contains("search: the deadline of "), "{}", finished.stderr);
            said += &finished.stderr;
            last = Some(finished);
        }
        said += &served.stop(last.unwrap());
        let (files, _, why) = stopped(&said);
        assert!(files < ENDLESS);
        // Whoever notices first: the server, or the client, which then cancels.
        assert!(["the call's time has run out", "the call was cancelled"].contains(&why), "{why}");
        let begun = said.lines().filter(|line| line.ends_with(" begins")).count();
        assert_eq!(said.matches(" stopped after ").count(), begun, "{said}");
        assert!(!said.contains("the server is closing"), "{said}");
    });
}

#[test]
fn a_search_is_stopped_within_a_file() {
    let scratch = Scratch::new();
    let tree = Tree::new(&scratch, "tree");
    let line = "\u{ea}tre ou ne pas \u{ea}tre, telle est la question\n";
    tree.write("large", line.repeat((64 << 20) / line.len()));
    let mut served = Served::over_unix(&scratch);
    // Between words beyond ASCII an expression is slow.
    let client = served.begin(&mut served.client(r"\b\w+tre\b.*\bquestion\b.+\b", &tree.0));
    client.signal(Signal::SIGINT);
    let finished = client.finish().expect(130);
    let said = served.stop(finished);
    let (files, bytes, why) = stopped(&said);
    assert_eq!((files, why), (0, "the call was cancelled"));
    assert!(bytes < 64 << 20);
}

#[test]
fn one_of_two_clients_is_stopped_and_the_other_gets_all() {
    for name in ["unix", "shm", "posix-mq", "tcp"] {
        println!("over {name}:");
        let scratch = Scratch::new();
        let endless = Tree::endless(&scratch);
        let text = "nothing\n".repeat(1 << 17) + "needle\n";
        let other = Tree::of_links(&scratch, "other", 40, &text);
        let mut served = Served::over(named(name), &scratch);
        let first = served.begin(&mut served.client(PATTERN, &endless.0));
        let second = served.begin(&mut served.client("needle", &other.0));
        first.signal(Signal::SIGINT);
        let finished = first.finish().expect(130);
        assert_eq!(second.finish().expect(0).stdout.lines().count(), 40);
        let said = served.stop(finished);
        assert_eq!(said.matches(" stopped after ").count(), 1, "{said}");
        assert_eq!(stopped(&said).2, "the call was cancelled");
        let searched = format!("has searched 40 files, {} bytes\n", 40 * text.len());
        assert!(said.contains(&searched), "{said}");
    }
}

#[test]
fn the_death_of_a_client_stops_its_search() {
    between_processes(|mut served, scratch| {
        let tree = Tree::endless(scratch);
        let client = served.begin(&mut served.client(PATTERN, &tree.0));
        client.signal(Signal::SIGKILL);
        let finished = client.finish();
        assert_eq!(finished.status.signal(), Some(Signal::SIGKILL as i32));
        if let Some(server) = &mut served.server {
            // While it goes on to serve: its own end would stop the search, too.
            loop {
                let line = server.error_line();
                assert_ne!(line, "", "the server has ended");
                if line.contains(" stopped after ") {
                    break;
                }
            }
        } else {
            assert!(stopped(&finished.stderr).0 < ENDLESS);
        }
        served.stop(finished);
    });
}

#[test]
fn a_server_that_is_told_to_stop_ends_its_searches() {
    let scratch = Scratch::new();
    let tree = Tree::endless(&scratch);
    let mut served = Served::over_unix(&scratch);
    let client = served.begin(&mut served.client(PATTERN, &tree.0));
    let server = served.server.unwrap();
    server.signal(Signal::SIGTERM);
    let said = server.finish().expect(0).stderr;
    client.finish().expect(2);
    assert_eq!(stopped(&said).2, "the server is closing");
}
