//! Every kind of method, by both clients, against every kind of server.

use std::time::Duration;

use ipcall::{CallError, CallOptions, Endpoint};

use crate::support::serving::run;
use crate::support::waiting::{until, until_async};
use crate::support::{Serving, Waits, over_every_scheme};
use crate::workshop::{Fault, Sheet, State, WorkshopBlockingClient, WorkshopClient};

/// The same calls by either client.
macro_rules! kinds_of_execution {
    ($client:ident $(, $wait:ident)?) => {
        assert_eq!($client.add(2, 3)$(.$wait)?.unwrap(), 5);
        assert_eq!($client.add(u64::MAX, 1)$(.$wait)?.unwrap(), 0);
        assert_eq!($client.add_blocking(2, 3)$(.$wait)?.unwrap().0, 5);
        assert_eq!($client.add_inline(2, 3)$(.$wait)?.unwrap(), 5);
        assert_eq!($client.add_twice(2, 3)$(.$wait)?.unwrap(), 10);
        assert_eq!($client.answer()$(.$wait)?.unwrap(), 42);
    };
}

macro_rules! kinds_of_arguments_and_results {
    ($client:ident $(, $wait:ident)?) => {
        let sheet = $client.sheet()$(.$wait)?.unwrap();
        assert_eq!(sheet, Sheet { title: "a title".to_owned(), rows: vec![(1, 0.5), (2, -1.0)] });
        let lent = $client.lent("häh", b"\0\xff", &sheet, Some("more"))$(.$wait)?.unwrap();
        assert_eq!(lent, "häh [0, 255] a title 2 Some(\"more\")");
        let lent = $client.lent_blocking("", b"", &sheet, None)$(.$wait)?.unwrap();
        assert_eq!(lent, " [] a title 2 None");
        assert_eq!($client.halve(8)$(.$wait)?.unwrap(), 4);
        let fault = CallError::Method(Fault::Odd { number: 7 });
        assert_eq!($client.halve(7)$(.$wait)?.unwrap_err(), fault);
        assert_eq!($client.halve_blocking(8)$(.$wait)?.unwrap(), 4);
        assert_eq!($client.halve_blocking(7)$(.$wait)?.unwrap_err(), fault);
        assert_eq!($client.nothing()$(.$wait)?.unwrap(), ());
        assert_eq!($client.echo(Vec::new())$(.$wait)?.unwrap(), b"");
    };
}

macro_rules! kinds_of_context {
    ($client:ident, $endpoint:ident $(, $wait:ident)?) => {
        let seen = $client.seen()$(.$wait)?.unwrap();
        assert_eq!((seen.method.as_str(), seen.remaining), ("seen", None));
        assert!(seen.metadata.is_empty());
        assert!(!seen.known_by.is_empty());
        // Where the transport knows the process at all, it is this one.
        assert!(seen.pid.is_none_or(|pid| pid == std::process::id()), "{seen:?}");
        assert_eq!(seen.pid, $client.client().peer().pid, "each side knows as much of the other");
        let pairs = [("b", "1"), ("a", ""), ("b", "2")];
        let mut options = CallOptions::new().deadline(Duration::from_secs(100));
        for (key, value) in pairs {
            options = options.metadata(key, value);
        }
        let seen = $client.with_options(options).seen_blocking()$(.$wait)?.unwrap();
        assert_eq!(seen.method, "seen_blocking");
        assert_eq!(seen.metadata, pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let remaining = seen.remaining.unwrap();
        assert!(remaining <= Duration::from_secs(100) && remaining > Duration::from_secs(60));
        assert_eq!($client.client().uri(), $endpoint.uri());
    };
}

/// Runs `test` over every transport, against every kind of server.
fn against_every_server(test: impl Fn(&State, &Endpoint)) {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            println!("  {waits:?}");
            let (state, endpoint) = (State::new(), subject.endpoint());
            let serving = Serving::start(waits, state.server(), &endpoint);
            test(&state, &endpoint);
            assert_eq!(serving.stats().violations(), 0);
        }
    });
}

#[test]
fn every_kind_of_method_is_called_by_an_async_client() {
    against_every_server(|_, endpoint| {
        run(async {
            let client = WorkshopClient::connect(endpoint).await.unwrap();
            kinds_of_execution!(client, await);
            kinds_of_arguments_and_results!(client, await);
            kinds_of_context!(client, endpoint, await);
        });
    });
}

#[test]
fn every_kind_of_method_is_called_by_a_blocking_client() {
    against_every_server(|_, endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        kinds_of_execution!(client);
        kinds_of_arguments_and_results!(client);
        kinds_of_context!(client, endpoint);
    });
}

#[test]
fn oneway_calls_run_without_a_reply() {
    against_every_server(|state, endpoint| {
        let blocking = WorkshopBlockingClient::connect(endpoint).unwrap();
        blocking.note("one").unwrap();
        blocking.note_blocking("two").unwrap();
        blocking.note_inline("three").unwrap();
        until(|| state.noted() == 3);
        run(async {
            let client = WorkshopClient::connect(endpoint).await.unwrap();
            client.note("four").await.unwrap();
            client.note_blocking("five").await.unwrap();
            client.note_inline("six").await.unwrap();
            until_async(|| state.noted() == 6).await;
            assert_eq!(client.client().calls_in_flight(), 0);
        });
        let mut notes = blocking.notes().unwrap();
        notes.sort();
        assert_eq!(notes, ["five", "four", "one", "six", "three", "two"]);
        assert_eq!(blocking.client().late_replies(), 0);
    });
}

#[test]
fn oneway_calls_are_written_before_their_client_is_gone() {
    against_every_server(|state, endpoint| {
        let client = WorkshopBlockingClient::connect(endpoint).unwrap();
        for _ in 0..100 {
            client.note_inline(&"text ".repeat(1000)).unwrap();
        }
        drop(client);
        until(|| state.noted() == 100);
        run(async {
            let client = WorkshopClient::connect(endpoint).await.unwrap();
            for _ in 0..100 {
                client.note_inline(&"text ".repeat(1000)).await.unwrap();
            }
            drop(client);
            until_async(|| state.noted() == 200).await;
        });
    });
}

#[test]
fn a_plain_fn_runs_in_a_thread_that_may_block() {
    over_every_scheme(|subject| {
        let (state, endpoint) = (State::new(), subject.endpoint());
        let _serving = Serving::start(Waits::CurrentThread, state.server(), &endpoint);
        let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
        // The only runtime thread of the server is not the one that runs it.
        let (_, thread) = client.add_blocking(1, 1).unwrap();
        assert_ne!(thread, format!("{:?}", std::thread::current().id()));
        let here = run(async { format!("{:?}", std::thread::current().id()) });
        assert_ne!(thread, here);
    });
}
