//! The word-count pair: moved between transports, compared with `wc`, and misused.

use std::fs;
use std::path::Path;
use std::process::Command;

use ipcall::{Config, schemes};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::processes::{Process, Written, example, listening, run, run_with_input};
use crate::scratch::Scratch;

const VARIABLE: &str = "IPCALL_WORDCOUNT_ENDPOINT";

fn client(config: &Path) -> Command {
    with_config("wordcount_client", config)
}

fn server(config: &Path) -> Command {
    with_config("wordcount_server", config)
}

fn with_config(name: &str, config: &Path) -> Command {
    let mut command = example(name);
    command.arg("--config").arg(config);
    command
}

/// A configuration in `scratch`, with more lines for the service.
fn config(scratch: &Scratch, endpoint: &str, more: &str) -> Written {
    let text = format!("[service.wordcount]\nendpoint = \"{endpoint}\"\n{more}\n");
    Written::new(scratch.path().join("wordcount.toml"), text)
}

/// A socket in a directory that the server makes.
fn unix(scratch: &Scratch) -> String {
    format!("unix:{}/run/socket", scratch.path().display())
}

/// A port that is free, and that the system gives to no client meanwhile.
fn tcp() -> String {
    let scheme = schemes().iter().find(|scheme| scheme.name == "tcp").unwrap();
    scheme.fresh(Path::new("/nowhere"), "pair").unwrap().uri().to_owned()
}

fn stop(server: Process) {
    server.signal(Signal::SIGTERM);
    let finished = server.finish().expect(0);
    assert_eq!((&*finished.stdout, &*finished.stderr), ("", ""));
}

/// Lines, words and bytes as `wc` counts them.
fn wc(path: &Path) -> [u64; 3] {
    let finished = run(Command::new("wc").env("LC_ALL", "C").arg(path)).expect(0);
    numbers(&finished.stdout)
}

fn numbers(line: &str) -> [u64; 3] {
    let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap());
    std::array::from_fn(|_| numbers.next().unwrap())
}

#[test]
fn one_line_of_the_file_or_one_variable_moves_the_pair() {
    let scratch = Scratch::new();
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let expected = wc(&text);
    let count = |config: &Path, variable: Option<&str>, endpoint: &str| {
        let variable = variable.map(|value| (VARIABLE, value));
        let server = listening(server(config).envs(variable), endpoint);
        let finished = run(client(config).envs(variable).arg(&text)).expect(0);
        assert_eq!(numbers(&finished.stdout), expected, "{endpoint}");
        assert!(finished.stdout.contains("the commonest words:"), "{}", finished.stdout);
        stop(server);
    };
    let (unix, tcp_in_file, tcp_in_variable) = (unix(&scratch), tcp(), tcp());
    let file = config(&scratch, &unix, "");
    count(file.path(), None, &unix);
    drop(file);
    let file = config(&scratch, &tcp_in_file, "");
    count(file.path(), None, &tcp_in_file);
    drop(file);
    let file = config(&scratch, &unix, "");
    count(file.path(), Some(&tcp_in_variable), &tcp_in_variable);
}

#[test]
fn a_client_starts_the_server_that_the_file_names() {
    let scratch = Scratch::new();
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let expected = wc(&text);
    let server = example("wordcount_server");
    let program = server.get_program().to_str().unwrap();
    // The server reads the same file.
    let file = scratch.path().join("wordcount.toml");
    let file = file.to_str().unwrap();
    for endpoint in [
        format!("pipe:{program}?arg=--config&arg={file}"),
        format!("pipe:{program}?arg=--config&arg={file}&stdio=1"),
        format!("pipe:sh?arg=-c&arg=cat | {program} --config {file} | cat&stdio=1"),
        format!("pipe:{program}?env=IPCALL_WORDCOUNT_ENDPOINT=pipe:inherited"),
    ] {
        let _file = config(&scratch, &endpoint, "");
        let finished = run(client(Path::new(file)).arg(&text)).expect(0);
        assert_eq!(numbers(&finished.stdout), expected, "{endpoint}: {}", finished.stdout);
        assert_eq!(finished.stderr, "", "{endpoint}");
    }
    let endpoint = "pipe:/nowhere/at-all";
    let _file = config(&scratch, endpoint, "");
    let finished = run(client(Path::new(file)).arg(&text)).expect(1);
    assert!(finished.stderr.contains("there is no program /nowhere/at-all"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("start the server first"), "{}", finished.stderr);
    let stderr = run(example("wordcount_server").args(["--config", file])).expect(1).stderr;
    assert!(stderr.contains("was not started by a client as its server"), "{stderr}");
}

#[test]
fn the_server_leaves_no_socket() {
    let scratch = Scratch::new();
    let endpoint = unix(&scratch);
    let file = config(&scratch, &endpoint, "");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = listening(&mut server(file.path()), &endpoint);
        assert!(scratch.path().join("run/socket").exists());
        server.signal(signal);
        server.finish().expect(0);
        assert!(!scratch.path().join("run").exists());
    }
}

#[test]
fn totals_equal_those_of_wc_when_files_are_larger_than_messages() {
    let scratch = Scratch::new();
    let endpoint = unix(&scratch);
    let file = config(&scratch, &endpoint, "max-message = \"1KiB\"");
    let server = listening(&mut server(file.path()), &endpoint);
    // wc counts no word of which nothing can be printed.
    let bytes: Vec<u8> = (0..20_000_u32).flat_map(|n| [b'x', (n * n) as u8 | 0x80, b' ']).collect();
    for content in [
        Vec::new(),
        b"no newline".to_vec(),
        b" \t\n\x0b\x0c\r".repeat(1000),
        b"to be or not to be, that is the question\n".repeat(1000),
        b"x".repeat(100_000),
        [b"y".repeat(513), b"\n".repeat(3), b"z".repeat(5000)].concat(),
        bytes,
    ] {
        let text = Written::new(scratch.path().join("text"), &content);
        let finished = run(client(file.path()).arg(text.path())).expect(0);
        assert_eq!(numbers(&finished.stdout), wc(text.path()), "{}", finished.stdout);
    }
    stop(server);
}

#[test]
fn several_files_have_totals_and_one_list_of_words() {
    let scratch = Scratch::new();
    let endpoint = unix(&scratch);
    let file = config(&scratch, &endpoint, "");
    let server = listening(&mut server(file.path()), &endpoint);
    let text = Written::new(scratch.path().join("text"), "b a\nb\n");
    let mut command = client(file.path());
    let finished = run_with_input(command.arg(text.path()).arg("-"), b"c c c b").expect(0);
    let name = text.path().display();
    let expected = format!(
        " 2  3  6 {name}\n 0  4  7 -\n 2  7 13 total\n\nthe commonest words:\n3 b\n3 c\n1 a\n"
    );
    assert_eq!(finished.stdout, expected);

    let finished = run(client(file.path()).arg("--json").arg(text.path())).expect(0);
    let object: Value = serde_json::from_str(&finished.stdout).unwrap();
    let expected = serde_json::json!({
        "lines": 2, "words": 3, "bytes": 6,
        "commonest": [{ "word": "b", "count": 2 }, { "word": "a", "count": 1 }],
        "files": [{ "file": text.path(), "lines": 2, "words": 3, "bytes": 6 }],
    });
    assert_eq!(object, expected);
    stop(server);
}

#[test]
fn an_unreadable_file_is_an_error_and_the_others_are_counted() {
    let scratch = Scratch::new();
    let endpoint = unix(&scratch);
    let file = config(&scratch, &endpoint, "");
    let server = listening(&mut server(file.path()), &endpoint);
    let text = Written::new(scratch.path().join("text"), "a b\n");
    let mut command = client(file.path());
    command.arg("/nowhere/at-all").arg(text.path()).arg(scratch.path());
    let finished = run(&mut command).expect(1);
    let complaints: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].starts_with("wordcount_client: /nowhere/at-all: No such file"));
    assert!(complaints[1].contains("Is a directory"), "{complaints:?}");
    assert_eq!(numbers(&finished.stdout), [1, 2, 4]);
    assert!(finished.stdout.contains("total"), "{}", finished.stdout);
    stop(server);
}

#[test]
fn a_missing_server_is_said_with_how_to_start_it() {
    let scratch = Scratch::new();
    for endpoint in [unix(&scratch), tcp()] {
        let file = config(&scratch, &endpoint, "");
        let finished = run(client(file.path()).arg("Cargo.toml")).expect(1);
        let complaint = format!("wordcount_client: {endpoint}: no server is there: ");
        assert!(finished.stderr.starts_with(&complaint), "{}", finished.stderr);
        let start = format!(
            "start the server first: cargo run --example wordcount_server -- --config {}\n",
            file.path().display()
        );
        assert!(finished.stderr.ends_with(&start), "{}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
}

#[test]
fn a_second_server_is_refused() {
    let scratch = Scratch::new();
    let endpoint = unix(&scratch);
    let file = config(&scratch, &endpoint, "");
    let first = listening(&mut server(file.path()), &endpoint);
    let finished = run(&mut server(file.path())).expect(1);
    let complaint = format!("wordcount_server: {endpoint}: in use: ");
    assert!(finished.stderr.starts_with(&complaint), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
    // It may say that somebody came to look whether it lives.
    first.signal(Signal::SIGTERM);
    first.finish().expect(0);
}

#[test]
fn wrong_configurations_and_arguments_have_status_2() {
    let scratch = Scratch::new();
    for name in ["wordcount_server", "wordcount_client"] {
        let wrong = |endpoint: &str, more: &str, complaint: &str| {
            let file = config(&scratch, endpoint, more);
            let mut command = with_config(name, file.path());
            if name.ends_with("client") {
                command.arg("Cargo.toml");
            }
            let stderr = run(&mut command).expect(2).stderr;
            assert!(stderr.starts_with(&format!("{name}: ")), "{stderr}");
            assert!(stderr.contains(complaint), "{stderr}");
        };
        wrong("unix:/x/y", "dead-line = \"5s\"", "wordcount.toml:3:1: service.wordcount.dead-line");
        wrong("unxi:/x/y", "", "did you mean `unix`?");
        wrong("mem:wordcount", "", "separate processes");

        let stderr = run(example(name).arg("--confg")).expect(2).stderr;
        assert!(stderr.contains("--config"), "{stderr}");
        let missing = ["--config", "/nowhere/at-all.toml", "Cargo.toml"];
        let missing = &missing[..if name.ends_with("client") { 3 } else { 2 }];
        let stderr = run(example(name).args(missing)).expect(2).stderr;
        assert!(stderr.contains("/nowhere/at-all.toml: cannot be read"), "{stderr}");
        let help = run(example(name).arg("--help")).expect(0).stdout;
        assert!(help.contains("--config <F>") && help.contains("Exit status"), "{help}");
    }
}

#[test]
fn the_default_configurations_are_right() {
    for service in ["wordcount", "search"] {
        let file = format!("examples/{service}.toml");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        let text = fs::read_to_string(path).unwrap();
        // The alternatives, too: without the comments, and without the prose between them.
        let setting = |line: &&str| line.starts_with("# ") && line.contains(" = ");
        let alternatives = text.lines().filter(setting).map(|line| line.trim_start_matches("# "));
        let mut count = 0;
        for alternative in alternatives {
            let (key, _) = alternative.split_once(' ').unwrap();
            let kept = text.lines().filter(|line| !line.starts_with(key));
            let text: String = kept.chain([alternative]).map(|line| format!("{line}\n")).collect();
            Config::parse(&text, &file).unwrap().endpoint(service).unwrap();
            count += 1;
        }
        assert!(count >= 4);
        Config::parse(&text, &file).unwrap().endpoint(service).unwrap();
    }
}
