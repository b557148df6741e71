//! A server that lies, as a script over raw bytes, and the clients that believe it.

use std::thread;

use ipcall::{CallError, Endpoint, Limits, RpcError, Settings};
use ipcall_core::protocol::hello::Hello;
use ipcall_core::rt::Service;

use crate::support::frame::{CALL, Frame, HELLO};
use crate::support::over_every_scheme;
use crate::support::raw::{Raw, number};
use crate::support::serving::run;
use crate::target::{Aim, TargetBlockingClient, TargetClient, TargetServer};

/// What an honest server of the service would announce.
pub(crate) fn honest_hello() -> Hello {
    let target = TargetServer::new(Aim::default());
    Hello::new(&Limits::default(), None, [target.descriptor()])
}

/// The number that a client has to give a method.
pub(crate) fn method(name: &str) -> u16 {
    number(&honest_hello(), name)
}

/// Reads the client's greeting.
pub(crate) fn be_greeted(raw: &mut Raw) {
    raw.preface();
    assert_eq!(raw.frame().unwrap().kind, HELLO);
}

/// Shakes hands as an honest server does.
pub(crate) fn greet(raw: &mut Raw) {
    be_greeted(raw);
    raw.write(&honest_hello().to_bytes().unwrap());
}

/// The client's next call.
pub(crate) fn next_call(raw: &mut Raw) -> Frame {
    loop {
        let frame = raw.frame().expect("a call is wanted");
        if frame.kind == CALL {
            return frame;
        }
    }
}

/// Has each kind of client, over each transport, call a server that follows `script`, and checks what
/// becomes of the call.
pub(crate) fn deceive(
    change: impl Fn(&mut Settings),
    script: impl Fn(&mut Raw) + Sync,
    check: impl Fn(Result<u64, CallError>),
) {
    over_every_scheme(|subject| {
        let (mut listener, mut endpoint) = subject.endpoint().bind_resolved().unwrap();
        change(endpoint.settings_mut());
        for ask in [ask_blocking, ask_async] {
            let result = thread::scope(|scope| {
                scope.spawn(|| {
                    let mut raw = Raw::accept(&mut *listener);
                    script(&mut raw);
                    // Until the client has gone, so that it is not that which it notices.
                    raw.rest();
                });
                ask(&endpoint)
            });
            check(result);
        }
    });
}

/// The same for a call that must fail, with an error that names the endpoint.
pub(crate) fn deceive_into(
    change: impl Fn(&mut Settings),
    script: impl Fn(&mut Raw) + Sync,
    check: impl Fn(&RpcError),
) {
    deceive(change, script, |result| {
        let error = crate::support::rpc_error(result);
        assert!(error.endpoint().is_some(), "{error:?}");
        check(&error);
    });
}

/// Calls `text`, for which 5 is right.
fn ask_blocking(endpoint: &Endpoint) -> Result<u64, CallError> {
    TargetBlockingClient::connect(endpoint)?.text("hello")
}

fn ask_async(endpoint: &Endpoint) -> Result<u64, CallError> {
    run(async { TargetClient::connect(endpoint).await?.text("hello").await })
}
