//! Ctrl-C in the client's process: the first cancels its calls, the second ends it.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ipcall::{CallError, Endpoint, ErrorKind};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::Orders;
use crate::service::{PostBlockingClient, PostClient};
use crate::stopped::LARGE;
use crate::support::Waits;
use crate::support::role::{Control, Process};
use crate::support::serving::run;
use crate::support::subject::between_processes;
use crate::support::waiting::{Sleeper, timed, until};

/// The client's process: calls when it is told to, at the endpoint in `about`, and says what has come of it.
pub(crate) fn call(about: &str, mut control: Control) {
    let (asks, uri) = about.split_once(' ').unwrap();
    let endpoint = Endpoint::parse(uri).unwrap();
    let blocking = PostBlockingClient::connect(&endpoint).unwrap();
    if asks != "does-not" {
        ipcall::cancel_on_ctrl_c().unwrap();
        ipcall::cancel_on_ctrl_c().unwrap();
    }
    let own = (asks == "listens-too").then(listen);
    run(async {
        let client = PostClient::connect(&endpoint).await.unwrap();
        drop(PostClient::connect(&endpoint).await.unwrap());
        control.say("connected");
        while let Some(line) = control.hear() {
            match line.as_str() {
                "call" => {
                    let threads = [blocking.clone(), blocking.clone()];
                    let threads = threads.map(|client| thread::spawn(move || client.never()));
                    let results = tokio::join!(client.never(), client.never());
                    let mut results = vec![results.0, results.1];
                    results.extend(threads.map(|thread| thread.join().unwrap()));
                    let ended = results.iter().filter(|result| is_cancelled(result)).count();
                    control.say(&format!("{ended} cancelled, {}", ipcall::interrupted()));
                }
                "add" => {
                    let sums = (client.add(1, 1).await.unwrap(), blocking.add(1, 1).unwrap());
                    control.say(&format!("{sums:?}"));
                }
                "clear" => {
                    let was = ipcall::clear_interrupted();
                    control.say(&format!("{was}, {}", ipcall::interrupted()));
                }
                "large" => {
                    let sleeper = Sleeper::default();
                    thread::scope(|scope| {
                        let call = scope.spawn(|| {
                            sleeper.note();
                            blocking.echo(vec![7; LARGE]).map(drop)
                        });
                        until(|| sleeper.is_asleep());
                        control.say("asleep");
                        control.say(match is_cancelled(&call.join().unwrap()) {
                            true => "cancelled",
                            false => "something else",
                        });
                    });
                }
                "own" => {
                    let own = own.as_ref().unwrap();
                    until(|| own.load(Ordering::SeqCst));
                    control.say("own handler");
                }
                "end" => break,
                other => panic!("nobody has written what `{other}` means"),
            }
        }
    });
}

/// A handler of the process's own, and whether it was called.
fn listen() -> Arc<AtomicBool> {
    let called = Arc::new(AtomicBool::new(false));
    let (installed, is_installed) = mpsc::channel();
    thread::spawn({
        let called = Arc::clone(&called);
        move || {
            run(async {
                let mut interrupted = signal(SignalKind::interrupt()).unwrap();
                installed.send(()).unwrap();
                interrupted.recv().await.unwrap();
                called.store(true, Ordering::SeqCst);
            });
        }
    });
    is_installed.recv().unwrap();
    called
}

fn is_cancelled(result: &Result<(), CallError>) -> bool {
    let error = result.as_ref().unwrap_err().rpc().unwrap();
    matches!(error.kind(), ErrorKind::Cancelled)
}

/// A server, and a client's process that asks for Ctrl-C or does not.
fn with_client(asks: &str, test: impl Fn(&mut Process, Process)) {
    between_processes(|subject| {
        let endpoint = subject.endpoint();
        let mut server = Orders::new(&endpoint, Waits::CurrentThread).run();
        let mut client = Process::start("interrupted", &format!("{asks} {}", endpoint.uri()));
        assert_eq!(client.hear(), "connected");
        test(&mut server, client);
        server.say("end");
        assert_eq!(server.hear(), "stopped");
        assert!(server.wait().success());
    });
}

/// Has it call, and waits until the server runs its four calls.
fn call_and_wait(server: &mut Process, client: &mut Process) {
    client.say("call");
    for _ in 0..4 {
        assert_eq!(server.hear(), "started");
    }
}

fn calls_have_ended(server: &mut Process) {
    for _ in 0..4 {
        assert_eq!(server.hear(), "ended");
    }
}

#[test]
fn the_first_cancels_every_call_and_the_second_ends_the_process() {
    with_client("asks", |server, mut client| {
        call_and_wait(server, &mut client);
        client.signal(Signal::SIGINT);
        assert_eq!(client.hear(), "4 cancelled, true");
        calls_have_ended(server);
        client.say("add");
        assert_eq!(client.hear(), "(2, 2)", "it goes on");
        call_and_wait(server, &mut client);
        client.signal(Signal::SIGINT);
        assert_eq!(client.wait().signal(), Some(Signal::SIGINT as i32));
        calls_have_ended(server);
    });
}

#[test]
fn whoever_deals_with_it_is_not_ended_by_the_next() {
    with_client("asks", |server, mut client| {
        for _ in 0..3 {
            call_and_wait(server, &mut client);
            client.signal(Signal::SIGINT);
            assert_eq!(client.hear(), "4 cancelled, true");
            calls_have_ended(server);
            client.say("clear");
            assert_eq!(client.hear(), "true, false");
        }
        client.say("clear");
        assert_eq!(client.hear(), "false, false");
    });
}

#[test]
fn a_process_that_ends_then_does_not_wait_for_a_server_that_does_not_read() {
    with_client("asks", |server, mut client| {
        server.stop();
        client.say("large");
        assert_eq!(client.hear(), "asleep");
        client.signal(Signal::SIGINT);
        assert_eq!(client.hear(), "cancelled");
        client.say("end");
        let (status, took) = timed(|| client.wait());
        assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
        server.signal(Signal::SIGCONT);
    });
}

#[test]
fn the_process_s_own_handlers_go_on_being_called() {
    with_client("listens-too", |server, mut client| {
        call_and_wait(server, &mut client);
        client.signal(Signal::SIGINT);
        assert_eq!(client.hear(), "4 cancelled, true");
        client.say("own");
        assert_eq!(client.hear(), "own handler");
        calls_have_ended(server);
    });
}

#[test]
fn whoever_has_not_asked_for_it_is_ended_by_the_first() {
    with_client("does-not", |server, mut client| {
        call_and_wait(server, &mut client);
        client.signal(Signal::SIGINT);
        assert_eq!(client.wait().signal(), Some(Signal::SIGINT as i32));
        calls_have_ended(server);
    });
}
