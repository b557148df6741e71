//! The tour: what it prints, and that nothing is left of it however it ends.

use std::path::Path;
use std::process::Command;

use ipcall::schemes;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::processes::{Process, Written, example, run};
use crate::scratch::Scratch;

/// The tour, with its temporary files in `directory`.
fn tour(directory: &Path) -> Command {
    let mut command = example("tour");
    command.env("TMPDIR", directory);
    command
}

#[test]
fn the_tour_prints_ok_for_every_transport() {
    let scratch = Scratch::new();
    let files = [
        Written::new(scratch.path().join("a"), "to be or not to be\n".repeat(300)),
        Written::new(scratch.path().join("b"), b"\xff no newline"),
    ];
    let mut command = tour(scratch.path());
    let finished = run(command.arg("--json").args(files.iter().map(Written::path))).expect(0);
    assert_eq!(finished.stderr, "");
    let rows: Vec<Value> =
        finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = rows.iter().map(|row| row["transport"].as_str().unwrap()).collect();
    let expected = schemes().iter().filter(|scheme| scheme.is_available());
    assert_eq!(names, expected.map(|scheme| scheme.name).collect::<Vec<_>>());
    for row in &rows {
        let mut keys: Vec<_> = row.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["calls", "mb_per_s", "ok", "p50_ns", "p99_ns", "transport"]);
        assert_eq!(row["ok"], true);
        assert!(row["calls"].as_u64().unwrap() >= 3, "{row}");
        let (p50, p99) = (row["p50_ns"].as_u64().unwrap(), row["p99_ns"].as_u64().unwrap());
        assert!(0 < p50 && p50 <= p99, "{row}");
        assert!(row["mb_per_s"].as_f64().unwrap() > 0.0, "{row}");
    }
}

#[test]
fn the_table_has_a_row_for_each_transport_asked_for() {
    let scratch = Scratch::new();
    let finished =
        run(tour(scratch.path()).args(["--transport", "mem,unix", "Cargo.toml"])).expect(0);
    let rows: Vec<Vec<&str>> =
        finished.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["transport", "calls", "p50", "us", "p99", "us", "MB/s", "ok"]);
    assert_eq!(rows.len(), 3, "{}", finished.stdout);
    for (row, name) in rows[1..].iter().zip(["mem", "unix"]) {
        assert_eq!((row[0], row[5]), (name, "ok"));
    }
}

#[test]
fn a_transport_that_fails_is_said_and_the_others_go_on() {
    let scratch = Scratch::new();
    // Too long for the address of a socket.
    let long = scratch.path().join("x".repeat(100));
    let finished =
        run(tour(&long).args(["--json", "--transport", "unix,tcp", "Cargo.toml"])).expect(1);
    assert!(finished.stderr.contains("tour: unix: "), "{}", finished.stderr);
    assert!(finished.stderr.contains("room for 107"), "{}", finished.stderr);
    let rows: Vec<Value> =
        finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&rows[0]["ok"], &rows[0]["calls"]), (&false.into(), &0.into()));
    assert_eq!(rows[1]["ok"], true);
}

#[test]
fn wrong_arguments_are_told_from_unreadable_files() {
    let scratch = Scratch::new();
    let finished = run(tour(scratch.path()).args(["--transport", "unxi"])).expect(2);
    assert!(finished.stderr.contains("possible values: mem, "), "{}", finished.stderr);
    let finished = run(tour(scratch.path()).arg("/nowhere/at-all")).expect(1);
    assert!(finished.stderr.starts_with("tour: /nowhere/at-all: "), "{}", finished.stderr);
}

/// A tour that is about to start, or has started, the server for `unix:`.
fn under_way(directory: &Path) -> Process {
    let mut command = tour(directory);
    let mut process = Process::start(command.args(["--json", "Cargo.toml"]));
    let first = process.line();
    assert!(first.contains("\"mem\""), "{first}");
    process
}

#[test]
fn an_interrupted_tour_leaves_nothing() {
    let scratch = Scratch::new();
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let process = under_way(scratch.path());
        process.signal(signal);
        process.finish().expect(status);
        assert_eq!(scratch.entries(), [""; 0]);
    }
}

#[test]
fn the_server_ends_with_a_tour_that_is_killed() {
    let scratch = Scratch::new();
    let process = under_way(scratch.path());
    process.signal(Signal::SIGKILL);
    // The server shares the standard error: when that has ended, so has the server.
    let finished = process.finish();
    assert_eq!(finished.status.code(), None);
    assert_eq!(scratch.entries(), [""; 0]);
}
