//! The vectors against a real server and real clients, over a Unix socket.

use std::fs::DirBuilder;
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use ipcall::{CallError, Endpoint, ErrorKind, Server, ShutdownHandle, Signals};

use crate::hex::{Vectors, assert_same};
use crate::service::{
    ArithBlockingClient, ArithClient, ArithServer, Desk, DivideError, TwiceServer, limits,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A private place for a socket. Removed with all that is in it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipcall-golden-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }

    fn endpoint(&self) -> Endpoint {
        let mut endpoint = Endpoint::parse(&format!("unix:{}", self.socket().display())).unwrap();
        endpoint.settings_mut().limits = limits();
        // Its process would be another each time.
        endpoint.settings_mut().signals = Signals::OFF;
        endpoint
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One that speaks in bytes.
struct Raw(UnixStream);

impl Raw {
    fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn connect(path: &Path) -> Self {
        Self::new(UnixStream::connect(path).unwrap())
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    #[track_caller]
    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("the peer has more to say");
        bytes
    }

    #[track_caller]
    fn expect(&mut self, name: &str, golden: &[u8]) {
        assert_same(name, &self.read(golden.len()), golden);
    }

    #[track_caller]
    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("the peer closes");
        assert!(rest.is_empty(), "and says nothing more: {rest:02x?}");
    }
}

/// A server in its own thread, stopped when this is dropped.
struct Serving(ShutdownHandle, Option<thread::JoinHandle<()>>);

impl Serving {
    fn at(place: &Place) -> Self {
        Self::with(place, Server::new().add_service(ArithServer::new(Desk)))
    }

    fn with(place: &Place, server: Server) -> Self {
        let bound = server.bind([&place.endpoint() as &dyn ipcall::transport::Binder]).unwrap();
        let handle = bound.shutdown_handle();
        Self(handle, Some(thread::spawn(move || bound.serve_blocking().unwrap())))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.shutdown();
        if let Some(thread) = self.1.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the server has panicked");
        }
    }
}

#[test]
fn a_server_says_what_the_example_says() {
    let (place, golden) = (Place::new(), Vectors::load("conversation.hex"));
    let _serving = Serving::at(&place);
    let mut client = Raw::connect(&place.socket());
    client.say(golden.get("client-hello"));
    client.expect("server-hello", golden.get("server-hello"));
    client.say(golden.get("call-add"));
    client.expect("reply-add", golden.get("reply-add"));
    client.say(golden.get("client-goodbye"));
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    client.expect_end();
}

#[test]
fn a_server_answers_every_form_of_call() {
    let place = Place::new();
    let _serving = Serving::at(&place);
    let [conversation, calls, replies, control] =
        ["conversation.hex", "calls.hex", "replies.hex", "control.hex"].map(Vectors::load);
    let mut client = Raw::connect(&place.socket());
    client.say(conversation.get("client-hello"));
    client.expect("server-hello", conversation.get("server-hello"));
    for name in ["plain", "deadline", "metadata", "deadline-metadata"] {
        client.say(calls.get(name));
        client.expect(name, replies.get("ok"));
    }
    // A call without a reply gets none, and a cancel for nothing is nothing: the next to come is the pong.
    client.say(calls.get("oneway"));
    client.say(control.get("cancel"));
    client.say(control.get("ping"));
    client.expect("ping-answer", control.get("ping-answer"));
    // The same reply, but for the id of the call.
    client.say(calls.get("divide"));
    let mut expected = replies.get("method-error").to_vec();
    expected[8..16].copy_from_slice(&calls.get("divide")[8..16]);
    client.expect("method-error", &expected);
}

#[test]
fn a_server_forgets_a_call_that_is_cancelled_between_its_fragments() {
    let place = Place::new();
    let _serving = Serving::at(&place);
    let [conversation, fragments, replies, control] =
        ["conversation.hex", "fragments.hex", "replies.hex", "control.hex"].map(Vectors::load);
    let mut client = Raw::connect(&place.socket());
    client.say(conversation.get("client-hello"));
    client.expect("server-hello", conversation.get("server-hello"));
    client.say(fragments.get("first"));
    client.say(&[0; 65_536]);
    client.say(control.get("cancel"));
    client.expect("withdrawn", replies.get("withdrawn"));
    client.say(conversation.get("call-add"));
    client.expect("reply-add", conversation.get("reply-add"));
}

#[test]
fn a_server_streams_as_ever() {
    let place = Place::new();
    let _serving = Serving::with(&place, Server::new().add_service(TwiceServer::new(Desk)));
    let [conversation, golden] = ["conversation.hex", "streams.hex"].map(Vectors::load);
    let mut client = Raw::connect(&place.socket());
    client.say(conversation.get("client-hello"));
    let head = client.read(8 + 16);
    client.read(u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize);
    client.say(golden.get("call"));
    client.say(golden.get("arguments"));
    client.expect("results", golden.get("results"));
    client.say(golden.get("credit-for-results"));
    client.say(golden.get("arguments-end"));
    client.expect("results-end", golden.get("results-end"));
}

#[test]
fn a_stranger_is_told_nothing_and_another_version_why() {
    let (place, golden) = (Place::new(), Vectors::load("conversation.hex"));
    let _serving = Serving::at(&place);
    let mut stranger = Raw::connect(&place.socket());
    stranger.say(b"GET / HTTP/1.1\r\n\r\n");
    // Closed with its bytes unread or not: in no case with a word.
    let mut said = Vec::new();
    let _ = stranger.0.read_to_end(&mut said);
    assert!(said.is_empty(), "{said:02x?}");

    let mut other = golden.get("client-hello").to_vec();
    other[24] = 2;
    let mut client = Raw::connect(&place.socket());
    client.say(&other);
    let said = client.read(24);
    assert_eq!(said[..8], golden.get("client-hello")[..8]);
    assert_eq!((said[12], said[14]), (8, 1), "a goodbye: refused");
}

/// A server that knows nothing but the vectors: greets, then does as it is told.
fn scripted(
    place: &Place,
    script: impl FnOnce(&mut Raw) + Send + 'static,
) -> thread::JoinHandle<()> {
    let listener = UnixListener::bind(place.socket()).unwrap();
    thread::spawn(move || {
        let golden = Vectors::load("conversation.hex");
        let mut server = Raw::new(listener.accept().unwrap().0);
        server.expect("client-hello", golden.get("client-hello"));
        server.say(golden.get("server-hello"));
        script(&mut server);
    })
}

fn add_and_goodbye(server: &mut Raw) {
    let golden = Vectors::load("conversation.hex");
    server.expect("call-add", golden.get("call-add"));
    server.say(golden.get("reply-add"));
    server.expect("client-goodbye", golden.get("client-goodbye"));
    server.expect_end();
}

#[test]
fn a_blocking_client_says_what_the_example_says() {
    let place = Place::new();
    let server = scripted(&place, add_and_goodbye);
    let client = ArithBlockingClient::connect(&place.endpoint()).unwrap();
    assert_eq!(client.add(2, 3), Ok(5));
    drop(client);
    server.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_client_says_what_the_example_says() {
    let place = Place::new();
    let server = scripted(&place, add_and_goodbye);
    let client = ArithClient::connect(&place.endpoint()).await.unwrap();
    assert_eq!(client.add(2, 3).await, Ok(5));
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_client_sends_every_form_of_call_and_understands_every_reply() {
    let place = Place::new();
    let server = scripted(&place, |server| {
        let [calls, replies] = ["calls.hex", "replies.hex"].map(Vectors::load);
        server.expect("metadata", calls.get("metadata"));
        server.say(replies.get("ok"));
        // Its id and its reply's are those of the connection's second call.
        server.expect("divide", calls.get("divide"));
        let mut reply = replies.get("method-error").to_vec();
        reply[8..16].copy_from_slice(&calls.get("divide")[8..16]);
        server.say(&reply);
        let call = server.read(calls.get("oneway").len());
        assert_eq!(call[..8], calls.get("oneway")[..8]);
        assert_eq!(call[16..], calls.get("oneway")[16..]);
        for name in ["cancelled", "refused", "panicked", "too-large"] {
            let call = server.read(calls.get("plain").len());
            let mut reply = replies.get(name).to_vec();
            reply[8..16].copy_from_slice(&call[8..16]);
            server.say(&reply);
        }
    });
    let client = ArithBlockingClient::connect(&place.endpoint()).unwrap();
    let told = client.with_metadata("trace", "42").with_metadata("from", "é");
    assert_eq!(told.add(2, 3), Ok(5));
    assert_eq!(client.divide(-7, 0), Err(CallError::Method(DivideError::TooLarge { limit: -300 })));
    client.note("hi").unwrap();
    let fail = || client.add(2, 3).unwrap_err().rpc().unwrap().kind().clone();
    assert!(matches!(fail(), ErrorKind::Cancelled));
    assert!(matches!(fail(), ErrorKind::Refused { reason } if reason.contains("shutting down")));
    assert!(matches!(fail(), ErrorKind::HandlerPanicked { message } if message.contains("bounds")));
    assert!(matches!(fail(), ErrorKind::TooLarge { actual: 70_000_000, .. }));
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_client_whose_time_is_up_sends_a_cancel() {
    let place = Place::new();
    let server = scripted(&place, |server| {
        let [calls, control] = ["calls.hex", "control.hex"].map(Vectors::load);
        let golden = calls.get("deadline");
        let call = server.read(golden.len());
        assert_eq!(call[..16], golden[..16]);
        let left = u64::from_le_bytes(call[16..24].try_into().unwrap());
        assert!(left <= 50_000_000, "{left} ns are left");
        assert_eq!(call[24..], golden[24..]);
        server.expect("cancel", control.get("cancel"));
        server.say(Vectors::load("replies.hex").get("cancelled"));
    });
    let client = ArithBlockingClient::connect(&place.endpoint()).unwrap();
    let error = client.with_deadline(Duration::from_millis(50)).add(2, 3).unwrap_err();
    assert!(matches!(error.rpc().unwrap().kind(), ErrorKind::DeadlineExceeded { .. }));
    server.join().unwrap();
}
