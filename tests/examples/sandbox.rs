//! The sandbox: what it says of each file, and that it goes on after each.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::processes::{Process, Written, example, run};
use crate::scratch::Scratch;

/// The sandbox, with its temporary files in `directory`.
fn sandbox(directory: &Path) -> Command {
    let mut command = example("sandbox");
    command.env("TMPDIR", directory);
    command
}

/// What is said of each file, by its name.
fn outcomes(stdout: &str) -> Vec<(&str, &str)> {
    stdout.lines().map(|line| line.split_once(' ').unwrap()).map(|(n, o)| (n, o.trim())).collect()
}

#[test]
fn the_demonstration_survives_all_that_can_happen() {
    let scratch = Scratch::new();
    // Longer than the usual, because the machine may have other things to do.
    let finished = run(sandbox(scratch.path()).args(["--deadline", "6"])).expect(0);
    let good = "ok: 9 values, depth 4";
    let mut said = outcomes(&finished.stdout);
    let last = said.pop().unwrap();
    assert_eq!(
        said,
        [
            ("good.json", good),
            ("long.json", "ok: 10001 values, depth 2"),
            ("cut-off.json", "refused: EOF while parsing a value at line 1 column 40"),
            ("no-json.bin", "refused: expected value at line 1 column 1"),
            ("deep.json", "refused: recursion limit exceeded at line 1 column 128"),
            ("huge.json", "out of memory"),
            ("good-again.json", good),
            ("crash.json", "crashed with signal 11 (SIGSEGV)"),
            ("hang.json", "deadline exceeded: 6s"),
            ("good-at-last.json", good),
        ]
    );
    assert_eq!(last, ("the", "parser was started 4 times, and nothing is left of it"));
    // Where the parser says what it has to say, too: that it has got no memory.
    assert!(finished.stderr.contains("memory allocation of"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("sandbox: "), "{}", finished.stderr);
    assert_eq!(scratch.entries(), [""; 0]);
}

#[test]
fn files_are_parsed_within_the_limits_that_are_set() {
    let scratch = Scratch::new();
    let file = |name: &str, content: &str| Written::new(scratch.path().join(name), content);
    let files = [
        file("a", "[1, {}]"),
        file("b", "{\"planted bug\": \"hang\"}"),
        // More than 16 MiB, and less than 128, as objects.
        file("c", &format!("[{}0]", "{\"\":0},".repeat(50_000))),
        file("d", "{\"planted bug\": \"crash\"}"),
        file("e", "\"text\""),
    ];
    let parse = |options: &[&str]| {
        let mut command = sandbox(scratch.path());
        run(command.args(options).args(files.iter().map(Written::path))).expect(0)
    };
    let finished = parse(&["--deadline", "4", "--memory", "16"]);
    let said: Vec<_> = outcomes(&finished.stdout).into_iter().map(|(_, outcome)| outcome).collect();
    let crashed = "crashed with signal 11 (SIGSEGV)";
    let expected = ["ok: 3 values, depth 2", "deadline exceeded: 4s", "out of memory", crashed];
    assert_eq!(said[..4], expected);
    assert_eq!(said[4], "ok: 1 values, depth 1");
    let finished = parse(&["--deadline", "6", "--memory", "128", "Cargo.toml"]);
    let said: Vec<_> = outcomes(&finished.stdout).into_iter().map(|(_, outcome)| outcome).collect();
    assert!(said[0].starts_with("refused: "), "{said:?}");
    assert_eq!(said[3], "ok: 100002 values, depth 3");
}

#[test]
fn a_file_that_cannot_be_read_is_said_and_the_others_are_parsed() {
    let scratch = Scratch::new();
    let file = Written::new(scratch.path().join("a"), "[]");
    let mut command = sandbox(scratch.path());
    let finished = run(command.arg("/nowhere/at-all").arg(file.path())).expect(1);
    assert!(finished.stderr.starts_with("sandbox: /nowhere/at-all: "), "{}", finished.stderr);
    assert!(finished.stdout.ends_with("ok: 1 values, depth 1\n"), "{}", finished.stdout);
}

#[test]
fn what_is_wrong_with_the_arguments_is_said() {
    let scratch = Scratch::new();
    for wrong in [&["--memory", "1"][..], &["--deadline", "0"], &["--deadline", "soon"], &["-x"]] {
        let finished = run(sandbox(scratch.path()).args(wrong)).expect(2);
        assert!(finished.stderr.contains(wrong[0]), "{}", finished.stderr);
    }
    let finished = run(sandbox(scratch.path()).args(["--memory", "2048"])).expect(1);
    assert!(finished.stderr.contains("more memory than 128 MiB"), "{}", finished.stderr);
    let help = run(sandbox(scratch.path()).arg("--help")).expect(0).stdout;
    assert!(help.contains("--deadline <SECONDS>") && help.contains("Exit status"), "{help}");
    // Not by hand.
    let finished = run(sandbox(scratch.path()).arg("--parse")).expect(1);
    assert!(finished.stderr.contains("was not started by a client"), "{}", finished.stderr);
}

#[test]
fn a_parser_that_hangs_ends_with_a_sandbox_that_is_killed() {
    let scratch = Scratch::new();
    let files = [("a", "[]"), ("b", "{\"planted bug\": \"hang\"}")];
    let files = files.map(|(name, text)| Written::new(scratch.path().join(name), text));
    let mut command = sandbox(scratch.path());
    command.args(["--deadline", "600"]).args(files.iter().map(Written::path));
    let mut process = Process::start(&mut command);
    let line = process.line();
    assert!(line.ends_with("ok: 1 values, depth 1\n"), "{line}");
    process.signal(Signal::SIGKILL);
    // The parser shares the standard error: when that has ended, so has the parser.
    assert_eq!(process.finish().status.code(), None);
}
