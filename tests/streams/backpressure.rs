//! Who does not read stops its sender, and nothing else.

use std::sync::Arc;

use ipcall::Window;

use crate::studio::{State, StudioBlockingClient, StudioClient, next, told};
use crate::support::serving::run;
use crate::support::waiting::{until, until_async};
use crate::support::{Serving, Waits, over_every_scheme};

const WINDOW: Window = Window { bytes: 40_000, items: 300 };

#[test]
fn a_reader_that_does_not_read_stops_its_stream_only() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint_with(|settings| settings.limits.stream = WINDOW);
            let state = State::default().into();
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let mut endless = client.endless().await.unwrap();
                let most = u64::from(WINDOW.items);
                until_async(|| state.made() == most).await;
                for n in 0..200 {
                    assert_eq!(client.add(n, 1).await.unwrap(), n + 1);
                }
                assert_eq!(state.made(), most, "more than the window");
                for n in 0..10_000 {
                    assert_eq!(next(&mut endless).await.unwrap().unwrap(), n);
                }
                assert!(state.made() <= 10_000 + most, "{}", state.made());
            });
            let client = StudioBlockingClient::connect(&endpoint).unwrap();
            let made = state.made();
            let mut endless = client.endless().unwrap();
            until(|| state.made() >= made + u64::from(WINDOW.items));
            assert_eq!(client.add(1, 2).unwrap(), 3);
            assert!(endless.by_ref().take(10_000).map(Result::unwrap).eq(0..10_000));
        }
    });
}

#[test]
fn a_handler_that_does_not_read_stops_its_argument_only() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint_with(|settings| settings.limits.stream = WINDOW);
            let state = State::default().into();
            let _serving = Serving::start(waits, State::server(&state), &endpoint);
            run(async {
                let client = StudioClient::connect(&endpoint).await.unwrap();
                let sent = Arc::new(State::default());
                let most = u64::from(WINDOW.items);
                tokio::select! {
                    biased;
                    result = client.starve(told(&sent, 0..)) => panic!("{result:?}"),
                    () = async {
                        until_async(|| sent.made() == most && state.made() == 1).await;
                        for n in 0..200 {
                            assert_eq!(client.add(n, 1).await.unwrap(), n + 1);
                        }
                    } => {}
                }
                assert_eq!(sent.made(), most, "more than the window");
            });
        }
    });
}
