//! `Config`: what a file and the environment may say, and what an error says when they are wrong.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::error::Error as _;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use ipcall::config::{Config, ConfigError};
use ipcall_core::{Signals, Spin};

const NONE: [(&str, &str); 0] = [];

fn parse(text: &str) -> Config {
    Config::parse(text, "test.toml").unwrap().with_environment(NONE)
}

fn parse_error(text: &str) -> ConfigError {
    Config::parse(text, "test.toml").unwrap_err()
}

/// The error of a value of `key` in the service `echo`.
fn value_error(key: &str, value: &str) -> ConfigError {
    parse_error(&format!("[service.echo]\nendpoint = \"mem:echo\"\n{key} = {value}\n"))
}

/// What the settings of `echo` are with these variables.
fn with_variables(variables: &[(&str, &str)]) -> Result<ipcall_transports::Endpoint, ConfigError> {
    Config::parse("[service.echo]\nendpoint = \"mem:echo\"\ndeadline = \"1s\"\n", "test.toml")
        .unwrap()
        .with_environment(variables.iter().copied())
        .endpoint("echo")
}

#[test]
fn every_key_reaches_its_setting() {
    let endpoint = parse(
        r#"
        [service.echo]
        endpoint = "mem:echo"
        deadline = "5s"
        wait-for-server = "1.5s"
        spin = "30us"
        allow-uids = [1000, 1001]
        max-message = "1MiB"
        max-held = "2MiB"
        max-queued = 65536
        max-calls-in-flight = 7
        max-connections = 8
        max-connections-per-uid = 9
        handshake-timeout = "100ms"
        progress-timeout = "2s"
        decode-memory = "3MB"
        decode-depth = 10
        "#,
    )
    .endpoint("echo")
    .unwrap();
    let settings = endpoint.settings();
    assert_eq!(settings.deadline, Some(Duration::from_secs(5)));
    assert_eq!(settings.wait_for_server, Some(Duration::from_millis(1500)));
    assert_eq!(settings.spin, Spin::UpTo(Duration::from_micros(30)));
    assert_eq!(settings.allow_uids, [1000, 1001]);
    assert_eq!(settings.limits.message, 1 << 20);
    assert_eq!(settings.limits.held_bytes, 2 << 20);
    assert_eq!(settings.limits.queued_bytes, 65536);
    assert_eq!(settings.limits.calls_in_flight, 7);
    assert_eq!(settings.limits.connections, 8);
    assert_eq!(settings.limits.connections_per_uid, 9);
    assert_eq!(settings.limits.handshake, Duration::from_millis(100));
    assert_eq!(settings.limits.progress, Duration::from_secs(2));
    assert_eq!(settings.limits.decode.memory, 3_000_000);
    assert_eq!(settings.limits.decode.depth, 10);
}

#[test]
fn what_is_not_said_is_the_default() {
    let endpoint = parse("[service.echo]\nendpoint = \"mem:echo\"\n").endpoint("echo").unwrap();
    assert_eq!(*endpoint.settings(), ipcall_core::Settings::default());
}

#[test]
fn defaults_hold_until_a_service_says_otherwise() {
    let config = parse(
        r#"
        [defaults]
        deadline = "1s"
        spin = "forever"
        [service.a]
        endpoint = "mem:a"
        [service.b]
        endpoint = "mem:b"
        deadline = "none"
        spin = "0"
        "#,
    );
    assert_eq!(config.services().collect::<Vec<_>>(), ["a", "b"]);
    let (a, b) = (config.endpoint("a").unwrap(), config.endpoint("b").unwrap());
    assert_eq!(a.settings().deadline, Some(Duration::from_secs(1)));
    assert_eq!(a.settings().spin, Spin::Forever);
    assert_eq!(b.settings().deadline, None);
    assert_eq!(b.settings().spin, Spin::UpTo(Duration::ZERO));
}

#[test]
fn signals_are_switched_off_or_chosen() {
    let signals = |value: &str| {
        let text = format!("[service.echo]\nendpoint = \"mem:echo\"\nsignals = {value}\n");
        parse(&text).endpoint("echo").unwrap().settings().signals
    };
    let (first, realtime) = (nix::libc::SIGRTMIN(), "\"SIGRTMIN+6\"");
    assert_eq!(signals("true"), Signals::URGENT);
    assert_eq!(signals("true"), Signals::default());
    assert_eq!(signals("23"), Signals::URGENT);
    assert_eq!(signals("false"), Signals::OFF);
    assert_eq!(signals(realtime), Signals::numbered(first + 6).unwrap());
    assert_eq!(signals(realtime), Signals::realtime(6).unwrap());
    assert_eq!(signals(&(first + 7).to_string()), Signals::numbered(first + 7).unwrap());
    let off =
        with_variables(&[("IPCALL_ECHO_ENDPOINT", "mem:echo"), ("IPCALL_ECHO_SIGNALS", "false")]);
    assert_eq!(off.unwrap().settings().signals, Signals::OFF);
}

#[test]
fn the_environment_wins_over_the_file() {
    let endpoint = with_variables(&[
        ("IPCALL_ECHO_ENDPOINT", "tcp:127.0.0.1:7070"),
        ("IPCALL_ECHO_DEADLINE", "2s"),
        ("IPCALL_ECHO_ALLOW_UIDS", "1000, 1001"),
        ("IPCALL_ECHO_MAX_CONNECTIONS", "3"),
        ("IPCALL_ECHO_SPIN", "0"),
        ("IPCALL_OTHER_DEADLINE", "nonsense"),
        ("UNRELATED", "x"),
    ])
    .unwrap();
    assert_eq!(endpoint.uri(), "tcp:127.0.0.1:7070");
    assert_eq!(endpoint.settings().deadline, Some(Duration::from_secs(2)));
    assert_eq!(endpoint.settings().allow_uids, [1000, 1001]);
    assert_eq!(endpoint.settings().limits.connections, 3);
    assert_eq!(endpoint.settings().spin, Spin::UpTo(Duration::ZERO));
}

#[test]
fn a_service_may_stand_in_the_environment_alone() {
    let config = parse("").with_environment([("IPCALL_WORD_COUNT_ENDPOINT", "mem:words")]);
    assert_eq!(config.endpoint("word-count").unwrap().uri(), "mem:words");
    let config = Config::from_env().with_environment([("IPCALL_ECHO_ENDPOINT", "mem:echo")]);
    assert_eq!(config.endpoint("echo").unwrap().uri(), "mem:echo");
    let error = config.endpoint("other").unwrap_err();
    assert!(error.to_string().contains("set IPCALL_OTHER_ENDPOINT"), "{error}");
}

#[test]
fn an_error_in_the_environment_names_the_variable() {
    let error = with_variables(&[("IPCALL_ECHO_DEADLINE", "5 parsecs")]).unwrap_err();
    assert_eq!(error.variable(), Some("IPCALL_ECHO_DEADLINE"));
    assert_eq!((error.file(), error.line()), (None, None));
    assert_eq!(
        error.to_string(),
        "IPCALL_ECHO_DEADLINE = \"5 parsecs\": unknown unit `parsecs` (known: ns, us, ms, s, m and h)"
    );
    let error = with_variables(&[("IPCALL_ECHO_ENDPOINT", "unxi:/x")]).unwrap_err();
    assert!(error.to_string().starts_with("IPCALL_ECHO_ENDPOINT = \"unxi:/x\": "), "{error}");
    assert!(error.to_string().contains("did you mean `unix`?"), "{error}");
}

#[test]
fn a_variable_that_is_nearly_a_key_is_an_error() {
    let error = with_variables(&[("IPCALL_ECHO_DEADLIN", "5s")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "IPCALL_ECHO_DEADLIN: no such key; did you mean `IPCALL_ECHO_DEADLINE`?"
    );
}

#[test]
fn a_variable_of_a_longer_service_name_is_no_mistake() {
    let text = "[service.a]\nendpoint = \"mem:a\"\n[service.a-max]\nendpoint = \"mem:b\"\n";
    let config = parse(text).with_environment([("IPCALL_A_MAX_SPIN", "0")]);
    config.endpoint("a").unwrap();
    assert_eq!(config.endpoint("a-max").unwrap().settings().spin, Spin::UpTo(Duration::ZERO));
}

#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    let value = OsString::from_vec(vec![b'm', 0xff]);
    let error =
        parse("").with_environment([("IPCALL_ECHO_ENDPOINT", value)]).endpoint("echo").unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[test]
fn a_bad_value_is_named_with_file_line_column_and_what_is_right() {
    let error = value_error("deadline", "\"5 parsecs\"");
    assert_eq!(error.file(), Some("test.toml"));
    assert_eq!((error.line(), error.column()), (Some(3), Some(12)));
    assert_eq!(error.key(), Some("service.echo.deadline"));
    assert_eq!(
        error.to_string(),
        "test.toml:3:12: service.echo.deadline = \"5 parsecs\": unknown unit `parsecs` \
         (known: ns, us, ms, s, m and h)"
    );
}

#[test]
fn values_that_are_not_right_say_what_would_be() {
    for (key, value, hint) in [
        ("deadline", "5", "a string with a unit"),
        ("deadline", "\"5\"", "a unit is missing"),
        ("deadline", "\"0s\"", "\"none\""),
        ("deadline", "true", "not a boolean"),
        ("handshake-timeout", "\"0ms\"", "longer than nothing"),
        ("spin", "\"sometimes\"", "\"forever\""),
        ("spin", "1.5", "\"forever\""),
        ("max-message", "\"64mib\"", "did you mean `MiB`?"),
        ("max-message", "-1", "a number of bytes"),
        ("max-message", "0", "at least 1 byte"),
        ("max-message", "[1]", "not an array"),
        ("max-connections", "0", "between 1 and"),
        ("max-connections", "\"many\"", "must be an integer"),
        ("decode-depth", "1000000", "between 1 and 1024"),
        ("allow-uids", "1000", "[1000, 1001]"),
        ("allow-uids", "[\"bob\"]", "must be an integer"),
        ("allow-uids", "[-1]", "between 0 and"),
        ("token-file", "\"secret\"", "absolute path"),
        ("signals", "9", "signal 9 is neither SIGURG (23) nor"),
        ("signals", "0", "signal 0 is neither"),
        ("signals", "-1", "signal -1 is neither"),
        ("signals", "65", "signal 65 is neither"),
        ("signals", "9999999999", "true, false, or a signal"),
        ("signals", "\"SIGRTMIN+5\"", "is the one that ends system calls"),
        ("signals", "\"SIGRTMIN+31\"", "is neither"),
        ("signals", "\"SIGRTMIN+x\"", "true, false, or a signal"),
        ("signals", "\"SIGKILL\"", "true, false, or a signal"),
        ("signals", "\"on\"", "\"SIGRTMIN+6\""),
        ("signals", "[23]", "not an array"),
        ("endpoint-2", "\"mem:x\"", "did you mean `endpoint`?"),
        ("dead-line", "\"5s\"", "did you mean `deadline`?"),
        ("colour", "\"red\"", "known: endpoint, token-file, deadline"),
    ] {
        let error = value_error(key, value).to_string();
        assert!(error.starts_with("test.toml:3:"), "{key} = {value}: {error}");
        assert!(error.contains(&format!("service.echo.{key}")), "{key} = {value}: {error}");
        assert!(error.contains(hint), "{key} = {value}: {error}");
    }
}

#[test]
fn an_endpoint_that_is_not_right_is_named_with_its_line() {
    for (uri, hint) in [
        ("unxi:/run/x", "did you mean `unix`?"),
        ("unix:relative", "absolute path"),
        ("unix:@abstract", "abstract sockets are refused"),
        ("tcp:127.0.0.1", "a port is missing"),
        ("/run/x", "unix:/run/x"),
    ] {
        let text = format!("# first\n[service.echo]\n  endpoint = \"{uri}\"\n");
        let error = parse(&text).endpoint("echo").unwrap_err();
        assert_eq!((error.line(), error.column()), (Some(3), Some(14)), "{error}");
        assert!(
            error.to_string().contains(&format!("service.echo.endpoint = \"{uri}\"")),
            "{error}"
        );
        assert!(error.to_string().contains(hint), "{error}");
    }
    let long = format!("[service.echo]\nendpoint = \"unix:/{}\"\n", "x".repeat(107));
    let error = parse(&long).endpoint("echo").unwrap_err();
    assert!(error.to_string().contains("has 108 bytes"), "{error}");
    assert!(error.to_string().contains("room for 107"), "{error}");
}

#[test]
fn tables_that_are_not_right_say_what_would_be() {
    for (text, place, hint) in [
        ("[services.echo]\n", "1:2", "did you mean `service`?"),
        ("service = 3\n", "1:1", "[service.NAME]"),
        ("[service]\necho = \"mem:echo\"\n", "2:1", "[service.echo]"),
        ("defaults = 3\n", "1:1", "[defaults]"),
        ("[service.\"a b\"]\n", "1:10", "letters, digits"),
        ("[service.a-b]\n[service.a_b]\n", "2:10", "too much like"),
        ("[service.echo\n", "1:14", ""),
        ("[service.echo]\nspin = \"0\"\nspin = \"1us\"\n", "3:1", "duplicate key"),
    ] {
        let error = parse_error(text).to_string();
        assert!(error.starts_with(&format!("test.toml:{place}: ")), "{text}: {error}");
        assert!(error.contains(hint), "{text}: {error}");
    }
}

#[test]
fn a_missing_service_names_the_file_and_those_that_it_has() {
    let config =
        parse("[service.echo]\nendpoint = \"mem:e\"\n[service.words]\nendpoint = \"mem:w\"\n");
    let error = config.endpoint("ecko").unwrap_err();
    assert_eq!(
        error.to_string(),
        "test.toml: there is no [service.ecko]; did you mean `echo`? (it has: echo, words); \
         add it, or set IPCALL_ECKO_ENDPOINT"
    );
    assert_eq!(error.file(), Some("test.toml"));
}

#[test]
fn a_service_without_endpoint_is_named_with_its_line() {
    let error = parse("\n[service.echo]\nspin = \"0\"\n").endpoint("echo").unwrap_err();
    assert_eq!(error.line(), Some(2));
    assert!(error.to_string().contains("[service.echo] has no endpoint"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load("/nowhere/at-all.toml").unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/at-all.toml: cannot be read: "), "{error}");
    assert!(error.source().is_some());
}

/// A file with this content and mode, of which the name begins with `name`.
fn file(name: &str, content: &str, mode: u32) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ipcall-{name}-{}", std::process::id()));
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_file_is_loaded() {
    let path = file("config", "[service.echo]\nendpoint = \"mem:echo\"\n", 0o644);
    let config = Config::load(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(config.endpoint("echo").unwrap().uri(), "mem:echo");
}

#[test]
fn the_token_is_read_from_a_private_file_only() {
    let path = file("token", "secret\n", 0o600);
    let text = format!(
        "[service.echo]\nendpoint = \"tcp:0.0.0.0:0\"\ntoken-file = \"{}\"",
        path.display()
    );
    let endpoint = parse(&text).endpoint("echo").unwrap();
    assert_eq!(endpoint.settings().token.as_deref(), Some(&b"secret"[..]));

    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let error = parse(&text).endpoint("echo").unwrap_err();
    fs::remove_file(&path).unwrap();
    assert!(error.to_string().contains("has mode 0644"), "{error}");
    assert_eq!((error.line(), error.key()), (Some(3), Some("service.echo.token-file")));
}
