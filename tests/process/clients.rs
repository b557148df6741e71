//! Clients that are killed: their handlers end, and their places are free.

use std::time::Instant;

use ipcall::Endpoint;
use serde::{Deserialize, Serialize};

use crate::stopped::halt;
use crate::support::holdings::Holdings;
use crate::support::role::{Control, Process};
use crate::support::serving::run;
use crate::support::waiting::{patiently, until};
use crate::yard::{LARGE, Orders, PROMPT, YardBlockingClient, YardClient, stop, with_both_servers};

/// What a client process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    uri: String,
    blocking: bool,
    /// What it asks the server to produce; or it stays there.
    produce: Option<u64>,
}

impl Errand {
    fn start(&self) -> Process {
        let mut process = Process::start("client", &serde_json::to_string(self).unwrap());
        assert_eq!(process.hear(), "connected");
        process.say("go");
        process
    }
}

/// The role of a client: connects, and calls what does not end.
pub(crate) fn act(about: &str, mut control: Control) {
    let errand: Errand = serde_json::from_str(about).unwrap();
    let endpoint = Endpoint::parse(&errand.uri).unwrap();
    if errand.blocking {
        let client = YardBlockingClient::connect(&endpoint).unwrap();
        wait_to_go(&mut control);
        match errand.produce {
            Some(length) => drop(client.produce(length)),
            None => drop(client.stay()),
        }
    } else {
        run(async {
            let client = YardClient::connect(&endpoint).await.unwrap();
            wait_to_go(&mut control);
            match errand.produce {
                Some(length) => drop(client.produce(length).await),
                None => drop(client.stay().await),
            }
        });
    }
    // Killed in the middle of the call, or, where that has ended, here.
    control.hear();
}

fn wait_to_go(control: &mut Control) {
    control.say("connected");
    assert_eq!(control.hear().as_deref(), Some("go"));
}

/// Waits until the server holds as little as before.
#[track_caller]
fn assert_nothing_held(server: &Process, before: &Holdings) {
    let begun = Instant::now();
    until(|| Holdings::of(server.id()) == *before || begun.elapsed() > PROMPT);
    assert_eq!(&Holdings::of(server.id()), before);
}

#[test]
fn the_handler_of_a_killed_client_ends_and_its_place_is_free() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let mut server = Orders { connections: 2, ..Orders::new(&endpoint, threads) }.start();
        let honest = YardBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(honest.add(1, 1).unwrap(), 2);
        let before = Holdings::of(server.id());
        for blocking in [false, true] {
            let uri = endpoint.uri().to_owned();
            let client = Errand { uri, blocking, produce: None }.start();
            assert_eq!(server.hear(), "started");
            client.kill();
            if threads {
                // It looks for the client when the handler has ended, and not before.
                server.say("open");
                assert_eq!(server.hear(), "done");
            } else {
                assert_eq!(server.hear(), "dropped");
            }
            let next = patiently(|| YardBlockingClient::connect(&endpoint).ok());
            assert_eq!(next.add(1, 1).unwrap(), 2);
            drop(next);
            assert_nothing_held(&server, &before);
        }
        assert_eq!(honest.add(1, 1).unwrap(), 2);
        drop(honest);
        stop(server);
    });
}

#[test]
fn the_others_do_not_notice_that_a_client_is_killed() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let mut server = Orders::new(&endpoint, threads).start();
        let honest = YardBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(honest.add(1, 1).unwrap(), 2);
        let before = Holdings::of(server.id());
        for round in 0..6 {
            let uri = endpoint.uri().to_owned();
            let client = Errand { uri, blocking: round % 2 == 0, produce: None }.start();
            assert_eq!(server.hear(), "started");
            assert_eq!(honest.add(round, 1).unwrap(), round + 1);
            client.kill();
            assert_eq!(honest.add(round, 2).unwrap(), round + 2);
            if threads {
                server.say("open");
            }
            assert_eq!(server.hear(), if threads { "done" } else { "dropped" });
        }
        assert_nothing_held(&server, &before);
        assert_eq!(honest.add(1, 1).unwrap(), 2);
        drop(honest);
        stop(server);
    });
}

#[test]
fn a_client_killed_in_the_middle_of_a_result_leaves_nothing() {
    with_both_servers(|subject, threads| {
        let endpoint = subject.endpoint();
        let mut server = Orders { connections: 2, ..Orders::new(&endpoint, threads) }.start();
        let honest = YardBlockingClient::connect(&endpoint).unwrap();
        assert_eq!(honest.add(1, 1).unwrap(), 2);
        let before = Holdings::of(server.id());
        for blocking in [false, true] {
            let uri = endpoint.uri().to_owned();
            let errand = Errand { uri, blocking, produce: Some(LARGE as u64) };
            let client = errand.start();
            assert_eq!(server.hear(), "producing");
            // It is being sent, or will be; a stopped client takes no more than there is room for.
            halt(&client);
            client.kill();
            let next = patiently(|| YardBlockingClient::connect(&endpoint).ok());
            assert_eq!(next.add(1, 1).unwrap(), 2);
            drop(next);
            assert_nothing_held(&server, &before);
        }
        assert_eq!(honest.add(1, 1).unwrap(), 2);
        drop(honest);
        stop(server);
    });
}
