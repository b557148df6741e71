//! What is found, compared with a naive search, and what is said when nothing can be.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use super::{Served, Tree};
use crate::processes::{example, run};
use crate::scratch::Scratch;

/// The lines with `needle` in all files below `root` that have no zero byte, as the client prints them, sorted.
fn naive(root: &Path, needle: &str, is_searched: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let (mut lines, mut left) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = left.pop() {
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if path != root && !is_searched(&path) {
            continue;
        }
        if kind.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if !kind.is_file() {
            continue;
        }
        let content = fs::read(&path).unwrap();
        if content.contains(&0) {
            continue;
        }
        for (index, line) in String::from_utf8(content).unwrap().lines().enumerate() {
            if line.contains(needle) {
                lines.push(format!("{}:{}:{line}", path.display(), index + 1));
            }
        }
    }
    lines.sort();
    lines
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_is_found_is_what_a_naive_search_finds() {
    let scratch = Scratch::new();
    let tree = Tree::new(&scratch, "tree");
    tree.write("one.txt", "a needle\nnothing\nneedle needle\n");
    tree.write("deep/deeper/deepest.txt", "\n".repeat(1000) + "the needle, without an end");
    tree.write("deep/empty", "");
    tree.write("deep/long", format!("{}needle\n", "needle ".repeat(20)).repeat(200));
    tree.write(".hidden/inside", "a needle\n");
    tree.write(".gitignore", "*.log\n# needle\n");
    tree.write("deep/some.log", "a needle\n");
    tree.write("binary", b"a needle\n\0\n");
    tree.write("binary later", "a needle\n".to_owned() + &"nothing\n".repeat(20_000) + "\0");
    symlink(&tree.0, tree.0.join("deep/loop")).unwrap();
    symlink(tree.0.join("one.txt"), tree.0.join("link")).unwrap();
    nix::unistd::mkfifo(&tree.0.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();

    let served = Served::over_unix(&scratch);
    let finished = run(&mut served.client("needle", &tree.0)).expect(0);
    let expected = naive(&tree.0, "needle", &|path| {
        let name = path.file_name().unwrap().as_bytes();
        !name.starts_with(b".") && !name.ends_with(b".log")
    });
    assert_eq!(sorted(&finished.stdout), expected);
    assert_eq!(finished.stderr, "");
    assert_eq!(expected.len(), 2 + 1 + 200);

    let mut everything = served.client("needle", &tree.0);
    let finished = run(everything.args(["--hidden", "--no-ignore"])).expect(0);
    let expected = naive(&tree.0, "needle", &|_| true);
    assert_eq!(sorted(&finished.stdout), expected);
    assert_eq!(expected.len(), 2 + 1 + 200 + 3);

    let finished = run(everything.arg("--json")).expect(0);
    let object: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(object["matches"].as_array().unwrap().len(), expected.len());
    let totals = ["files", "binary", "failed"].map(|key| object[key].as_u64().unwrap());
    assert_eq!(totals, [9, 2, 0]);

    // The project's own files, from a path that is relative and has nothing to be ignored.
    let finished = run(&mut served.client("transport", Path::new("docs"))).expect(0);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let prefix = manifest.as_os_str().len() + 1;
    let expected = naive(&manifest.join("docs"), "transport", &|_| true);
    let expected: Vec<_> = expected.iter().map(|line| line[prefix..].to_owned()).collect();
    assert_eq!(sorted(&finished.stdout), expected);
    served.stop(finished);
}

#[test]
fn names_and_lines_may_be_any_bytes_and_long_lines_are_cut() {
    let scratch = Scratch::new();
    let tree = Tree::new(&scratch, "tree");
    let name = OsStr::from_bytes(b"a\xff");
    tree.write(name, b"\xfe needle\r\n");
    tree.write("b", format!("needle{}\n", "\u{e9}".repeat(1000)));
    let served = Served::over_unix(&scratch);
    let finished = run(served.client("needle", &tree.0).arg("--json")).expect(0);
    let object: Value = serde_json::from_str(&finished.stdout).unwrap();
    let expected = serde_json::json!([
        {
            "file": tree.0.join(name).to_string_lossy(), "number": 1, "line": "\u{fffd} needle",
            "is_cut": false,
        },
        {
            "file": tree.0.join("b"), "number": 1,
            "line": format!("needle{}", "\u{e9}".repeat(253)), "is_cut": true,
        },
    ]);
    assert_eq!(object["matches"], expected);
    let finished = run(&mut served.client("needle", &tree.0.join("b"))).expect(0);
    assert!(finished.stdout.ends_with("\u{e9} [...]\n"), "{}", finished.stdout);
    served.stop(finished);
}

#[test]
fn the_status_says_what_became_of_the_search() {
    let scratch = Scratch::new();
    let tree = Tree::new(&scratch, "tree");
    tree.write("file", "one.\nTWO\nthree\nthree\n");
    let file = tree.0.join("file");
    let served = Served::over_unix(&scratch);
    let found = |options: &[&str], pattern: &str, status: i32| {
        run(served.client(pattern, &file).args(options)).expect(status)
    };
    let lines = |numbers: &[(u32, &str)]| -> String {
        numbers.iter().map(|(n, line)| format!("{}:{n}:{line}\n", file.display())).collect()
    };
    assert_eq!(found(&[], "o.e", 0).stdout, lines(&[(1, "one.")]));
    assert_eq!(found(&[], "t[wh]", 0).stdout, lines(&[(3, "three"), (4, "three")]));
    assert_eq!(found(&["-i"], "t[w]", 0).stdout, lines(&[(2, "TWO")]));
    assert_eq!(found(&["-F"], ".", 0).stdout, lines(&[(1, "one.")]));
    for (options, pattern) in [(&["-F"][..], "o.e"), (&[], "two"), (&[], "four")] {
        let finished = found(options, pattern, 1);
        assert_eq!((&*finished.stdout, &*finished.stderr), ("", ""));
    }
    let finished = found(&["--max-count", "1"], "three", 0);
    assert_eq!(finished.stdout, lines(&[(3, "three")]));
    let more = "search_client: there are more than these 1 lines, see --max-count\n";
    assert_eq!(finished.stderr, more);
    assert_eq!(found(&["--max-count", "2"], "three", 0).stderr, "");

    for (pattern, problem) in [("(one", "unclosed group"), ("a\nb", "not allowed")] {
        let finished = found(&[], pattern, 2);
        assert!(finished.stderr.starts_with("search_client: "), "{}", finished.stderr);
        assert!(finished.stderr.contains(problem), "{}", finished.stderr);
    }
    let finished = run(&mut served.client("one", Path::new("/nowhere/at-all"))).expect(2);
    assert!(finished.stderr.contains("/nowhere/at-all: No such file"), "{}", finished.stderr);
    served.stop(finished);
}

#[test]
fn what_cannot_be_searched_is_said_and_the_rest_is_searched() {
    let scratch = Scratch::new();
    let tree = Tree::new(&scratch, "tree");
    tree.write("good", "needle\n");
    // A permission would not do, as the user may be root. This line is longer than what is kept in memory.
    let long = "x".repeat(9 << 20);
    tree.write("long0", long);
    for number in 1..7 {
        fs::hard_link(tree.0.join("long0"), tree.0.join(format!("long{number}"))).unwrap();
    }
    let served = Served::over_unix(&scratch);
    let finished = run(&mut served.client("needle", &tree.0)).expect(2);
    assert_eq!(finished.stdout, format!("{}:1:needle\n", tree.0.join("good").display()));
    let complaints: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(complaints.len(), 6, "{complaints:?}");
    let beginning = format!("search_client: {}/long", tree.0.display());
    assert!(complaints[..5].iter().all(|line| line.starts_with(&beginning)), "{complaints:?}");
    assert_eq!(complaints[5], "search_client: 2 others could not be searched either");
    served.stop(finished);
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let scratch = Scratch::new();
    let served = Served::over_unix(&scratch);
    let uri = served.endpoint.uri();
    let file = scratch.path().join("search.toml");
    let search = |in_file: &str, variable: Option<&str>, option: Option<&str>, status: i32| {
        fs::write(&file, format!("[service.search]\nendpoint = \"{in_file}\"\n")).unwrap();
        let mut command = example("search_client");
        command.arg("--config").arg(&file).args(["members", "Cargo.toml"]);
        command.envs(variable.map(|value| ("IPCALL_SEARCH_ENDPOINT", value)));
        command.args(option.map(|option| format!("--endpoint={option}")));
        let finished = run(&mut command).expect(status);
        fs::remove_file(&file).unwrap();
        finished
    };
    let nowhere = "unix:/nowhere/at-all/socket";
    search(uri, None, None, 0);
    search(nowhere, Some(uri), None, 0);
    search("nowhere:", Some("nowhere:"), Some(uri), 0);
    for (uri, complaint) in [(nowhere, "no server is there"), ("mem:search", "separate processes")]
    {
        let finished = search(uri, None, None, 2);
        assert!(finished.stderr.contains(complaint), "{}", finished.stderr);
    }
    let finished = search(uri, None, Some(nowhere), 2);
    let start = format!("cargo run --example search_server -- --endpoint {nowhere}\n");
    assert!(finished.stderr.ends_with(&start), "{}", finished.stderr);
    served.stop(finished);
}

#[test]
fn wrong_arguments_have_status_2() {
    for (options, complaint) in [
        (&["--deadline", "5 parsecs", "x", "."][..], "a unit is wanted"),
        (&["--deadline", "0s", "x", "."], "more than nothing"),
        (&["--max-count", "0", "x", "."], "1..=100000"),
        (&["--config", "/nowhere/at-all.toml", "x", "."], "/nowhere/at-all.toml: cannot be read"),
        (&["x"], "<PATH>"),
    ] {
        let stderr = run(example("search_client").args(options)).expect(2).stderr;
        assert!(stderr.contains(complaint), "{stderr}");
    }
    for name in ["search_server", "search_client"] {
        let help = run(example(name).arg("--help")).expect(0).stdout;
        for part in ["--config <F>", "--endpoint <URI>", "Exit status", "examples/search.toml"] {
            assert!(help.contains(part), "{help}");
        }
    }
}
