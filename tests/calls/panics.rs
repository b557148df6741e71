//! A handler's panic fails that call and nothing else.

use std::sync::Once;

use ipcall::{CallError, ErrorKind, Outcome};

use crate::support::serving::run;
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient};

/// How the panics of these tests begin, which nobody wants to see in the output.
const PLANTED: &str = "planted: ";

fn keep_planted_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<String>();
            if !text.is_some_and(|text| text.starts_with(PLANTED)) {
                show(panic);
            }
        }));
    });
}

#[track_caller]
fn assert_panicked(result: Result<(), CallError>, text: &str) {
    let error = rpc_error(result);
    assert_kind!(error, ErrorKind::HandlerPanicked { message } if message == text);
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn a_panic_fails_its_call_only() {
    keep_planted_panics_quiet();
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let serving = Serving::start(waits, state.server(), &endpoint);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            let text = format!("{PLANTED}over {}", endpoint.uri());
            assert_panicked(client.panic(&text), &text);
            assert_panicked(client.panic_blocking(&text), &text);
            assert_panicked(client.panic_inline(&text), &text);
            state.gate.add_permits(1);
            assert_panicked(client.panic_later(&text), &text);
            assert_eq!(client.add(1, 1).unwrap(), 2, "the connection goes on");
            assert_eq!(state.running(), 0, "what the handler had was dropped");
            assert_eq!((serving.stats().panics(), serving.stats().accepted()), (4, 1));
        }
    });
}

#[test]
fn the_calls_beside_a_panic_go_on() {
    keep_planted_panics_quiet();
    over_every_scheme(|subject| {
        for waits in Waits::TOKIO {
            let (state, endpoint) = (State::new(), subject.endpoint());
            let _serving = Serving::start(waits, state.server(), &endpoint);
            run(async {
                let client = WorkshopClient::connect(&endpoint).await.unwrap();
                let calm = async {
                    client.meet().await.unwrap();
                };
                let wild = async {
                    for _ in 0..9 {
                        assert_panicked(client.panic(PLANTED).await, PLANTED);
                        assert_panicked(client.panic_blocking(PLANTED).await, PLANTED);
                    }
                    let others = (0..9).map(|_| {
                        let client = client.clone();
                        tokio::spawn(async move { client.meet().await.unwrap() })
                    });
                    for other in others.collect::<Vec<_>>() {
                        other.await.unwrap();
                    }
                };
                tokio::join!(calm, wild);
            });
        }
    });
}
