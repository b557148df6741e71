//! `Endpoint`: how a URI is read, and what an error says when it is wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "conformance/scratch.rs"]
mod scratch;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ipcall_core::transport::{Binder, Connector};
use ipcall_core::{ErrorKind, RpcError, Settings};
use ipcall_transports::{Endpoint, Launch, schemes};
use scratch::Scratch;

fn parse_error(uri: &str) -> RpcError {
    let error = Endpoint::parse(uri).unwrap_err();
    assert_eq!(error.endpoint(), Some(uri));
    error
}

#[test]
fn what_cannot_be_an_endpoint_says_what_would_be_right() {
    let long = format!("unix:/{}", "x".repeat(107));
    let long_name = format!("fifo:/{}", "x".repeat(223));
    let long_directory = format!("file:/{}", "x".repeat(256));
    let known: Vec<_> = schemes().iter().map(|scheme| scheme.name).collect();
    let known = format!("(known: {})", known.join(", "));
    let did_you_mean = format!("did you mean `unix`? {known}");
    let unknown = format!("unknown scheme `https` {known}");
    for (uri, hint) in [
        ("", "write scheme:where"),
        ("wordcount", "write scheme:where"),
        (":x", "write scheme:where"),
        ("/run/x.sock", "write for example unix:/run/x.sock"),
        ("./a:b", "write scheme:where"),
        (" mem:x", "white space"),
        ("unxi:/x", &*did_you_mean),
        ("https://example.org", &unknown),
        ("UNIX:/x", "did you mean `unix`?"),
        ("mem:", "a name is missing"),
        ("unix:", "a path is missing"),
        ("unix:run/x", "not an absolute path"),
        ("unix:@x", "abstract sockets are refused"),
        ("unix:%00x", "abstract sockets are refused"),
        ("unix:/x%00y", "cannot contain a NUL"),
        ("unix:/x/", "names a directory"),
        ("unix:/x/..", "no name at its end"),
        ("unix:/100%", "write %25"),
        (&long, "has 108 bytes, and a socket's address has room for 107"),
        ("unix:/x?mode=1", "unknown key `mode`: a unix endpoint has no keys"),
        ("mem:x?", "no key=value"),
        ("sysv-mq:", "a path is missing"),
        ("sysv-mq:run/x", "not an absolute path"),
        ("sysv-mq:/x%00y", "cannot contain a NUL"),
        ("sysv-mq:/x/", "names a directory"),
        ("sysv-mq:/x/..", "no name at its end"),
        ("sysv-mq:/x?mode=1", "a sysv-mq endpoint has no keys"),
        ("shm:", "a path is missing"),
        ("shm:/x?ring=1", "is 1 bytes: write a power of two from 4KiB to 1GiB"),
        ("shm:/x?ring=3MiB", "write a power of two"),
        ("shm:/x?ring=2GiB", "write a power of two"),
        ("shm:/x?ring=large", "write a power of two"),
        ("shm:/x?size=1MiB", "unknown key `size`"),
        ("pipe:", "a program is missing"),
        ("pipe:?arg=x", "a program is missing"),
        ("pipe:./server", "neither an absolute path nor a bare name"),
        ("pipe://usr/lib/server", "write pipe:/usr/lib/server, without the //"),
        ("pipe:/usr/lib/", "names a directory"),
        ("pipe:/x%00y", "cannot contain a NUL"),
        ("pipe:/x?arg=%00", "cannot contain a NUL"),
        ("pipe:/x?env=K", "write env=NAME=VALUE"),
        ("pipe:/x?env==V", "write env=NAME=VALUE"),
        ("pipe:/x?stdio=yes", "write stdio=1"),
        ("pipe:/x?stdio=1&stdio=1", "stands there twice"),
        ("pipe:/x?args=y", "did you mean `arg`?"),
        ("pipe:/x?arg=%zz", "write %25"),
        ("pipe:inherited?arg=x", "is for the one that was started"),
        ("pipe:?in-process=", "stands alone"),
        ("pipe:/x?in-process=y", "stands alone"),
        ("fifo:", "a path is missing"),
        ("fifo:run/x", "not an absolute path"),
        ("fifo:/x%00y", "cannot contain a NUL"),
        ("fifo:/x/", "names a directory"),
        ("fifo:/x/..", "no name at its end"),
        (&long_name, "has 223 bytes, and there is room for 222"),
        ("fifo:/x?size=1", "unknown key `size`: a fifo endpoint has no keys"),
        ("posix-mq:", "write for example posix-mq:/run/user/1000/wordcount/queue"),
        ("posix-mq:run/x", "not an absolute path"),
        ("posix-mq:/x%00y", "cannot contain a NUL"),
        ("posix-mq:/x/", "names a directory"),
        ("posix-mq:/x/..", "no name at its end"),
        ("posix-mq:/x?size=1", "unknown key `size`: a posix-mq endpoint has no keys"),
        ("file:", "a path is missing"),
        ("file:shared/x", "not an absolute path"),
        ("file:/x%00y", "cannot contain a NUL"),
        ("file:/x/", "ends with a slash"),
        ("file:/x/..", "no name at its end"),
        (&long_directory, "has 256 bytes, and there is room for 255"),
        ("file:/x?size=1", "unknown key `size`: a file endpoint has no keys"),
        ("tcp:127.0.0.1", "a port is missing"),
        ("tcp:127.0.0.1:1?tokenfile=/x", "did you mean `token-file`?"),
        ("tcp:127.0.0.1:1?token-file=/x&token-file=/y", "stands there twice"),
        ("tcp:127.0.0.1:1?token-file", "no key=value"),
        ("tcp:127.0.0.1:1?token-file=x", "must be an absolute path"),
    ] {
        let error = parse_error(uri);
        assert!(matches!(error.kind(), ErrorKind::InvalidEndpoint { .. }), "{uri}: {error:?}");
        assert!(error.to_string().contains(hint), "{uri}: {error}");
    }
}

#[test]
fn an_endpoint_shows_as_it_was_written() {
    for uri in [
        "mem:x",
        "pipe:/a%20b?arg=&arg=x&arg=x&env=K=&env=K=V=W&stdio=1",
        "pipe:ssh?arg=host&arg=server&stdio=1",
        "pipe:inherited?stdio=1",
        "unix:/run/a%20b",
        "unix:/%FF",
        "tcp:[::1]:7070",
        "tcp:localhost:0",
    ] {
        let endpoint: Endpoint = uri.parse().unwrap();
        assert_eq!(endpoint.to_string(), uri);
        assert_eq!(endpoint, Endpoint::parse(uri).unwrap());
    }
    Endpoint::parse(&format!("unix:/{}", "x".repeat(106))).unwrap();
}

#[test]
fn a_secret_is_not_shown() {
    let mut settings = Settings::default();
    settings.token = Some(b"hunter2".to_vec());
    let endpoint = Endpoint::parse("mem:x").unwrap().with_settings(settings);
    assert_eq!(format!("{endpoint:?}"), "Endpoint(\"mem:x\")");
}

#[test]
fn a_token_file_must_be_private() {
    let scratch = Scratch::new();
    let file = scratch.path().join("token");
    let uri = format!("tcp:0.0.0.0:0?token-file={}", file.display());
    let error = parse_error(&uri).to_string();
    assert!(error.contains("reading the token file"), "{error}");

    fs::write(&file, "secret\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let error = parse_error(&uri);
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("chmod 600"), "{error}");

    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let endpoint = Endpoint::parse(&uri).unwrap();
    assert_eq!(endpoint.settings().token.as_deref(), Some(&b"secret"[..]));

    fs::write(&file, "\n").unwrap();
    assert!(parse_error(&uri).to_string().contains("is empty"));
    fs::write(&file, "x".repeat(4097)).unwrap();
    assert!(parse_error(&uri).to_string().contains("more than 4096 bytes"));
    fs::remove_file(&file).unwrap();
}

#[test]
fn a_port_chosen_by_the_system_is_told() {
    let endpoint = Endpoint::parse("tcp:localhost:0").unwrap();
    let error = endpoint.try_connect().unwrap_err();
    assert!(error.to_string().contains("port 0 is for servers"), "{error}");

    let (_listener, resolved) = endpoint.bind_resolved().unwrap();
    assert!(resolved.uri().starts_with("tcp:127.0.0.1:"), "{resolved}");
    assert!(!resolved.uri().ends_with(":0"), "{resolved}");
    resolved.try_connect().unwrap();
}

#[test]
fn listening_beyond_loopback_needs_a_token() {
    let endpoint = Endpoint::parse("tcp:0.0.0.0:0").unwrap();
    let error = endpoint.bind().map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("token-file"), "{error}");

    let mut settings = Settings::default();
    settings.token = Some(b"secret".to_vec());
    endpoint.with_settings(settings).bind().unwrap();
}

#[test]
fn every_scheme_makes_fresh_endpoints_of_its_own() {
    let directory = Path::new("/run/user/1000/a b?%");
    for scheme in schemes() {
        let first = scheme.fresh(directory, "one").unwrap();
        let second = scheme.fresh(directory, "two").unwrap();
        assert_eq!(first.scheme().name, scheme.name);
        assert_ne!(first.uri(), second.uri());
        assert_eq!(Endpoint::parse(scheme.example).unwrap().scheme().name, scheme.name);
        assert!(scheme.is_available());
    }
}

#[test]
fn every_scheme_says_how_a_server_in_another_process_is_reached() {
    let directory = Path::new("/run/user/1000");
    for scheme in schemes().iter().filter(|scheme| !scheme.in_process) {
        let server = |uri: &str| Launch::new("/usr/lib/server").arg("--serve").arg(uri);
        let (endpoint, launch) = scheme.fresh_with(directory, "one", server).unwrap();
        assert_eq!(endpoint.scheme().name, scheme.name);
        assert_eq!(endpoint.starts_server(), scheme.starts_server);
        match launch {
            None => assert_eq!(endpoint, Endpoint::launching(&server("pipe:inherited")).unwrap()),
            Some(ref launch) => assert_eq!(*launch, server(endpoint.uri())),
        }
        assert_eq!(launch.is_none(), scheme.starts_server);
    }
}

#[test]
fn a_directory_too_long_for_a_socket_is_an_error() {
    let directory = format!("/{}", "x".repeat(200));
    let unix = schemes().iter().find(|scheme| scheme.name == "unix").unwrap();
    assert!(
        unix.fresh(Path::new(&directory), "x").unwrap_err().to_string().contains("room for 107")
    );
}
