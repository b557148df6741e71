//! An idle connection costs no processor time: nothing ticks, and no end of a FIFO is polled at its end.

use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::roles::Process;
use crate::support::scratch::Scratch;
use crate::support::serving::run;
use crate::support::{Serving, Waits};
use crate::{EchoBlockingClient, EchoClient, echo, endpoint};

#[test]
fn an_idle_connection_uses_no_processor() {
    let scratch = Scratch::new();
    // Of its own, because the other tests are not idle.
    let process = Process::start("resting", scratch.path().to_str().unwrap());
    assert!(process.wait().success(), "see above");
}

pub(crate) fn rest(directory: &Path) {
    let places = Waits::ALL.map(|waits| endpoint(&directory.join(format!("{waits:?}"))));
    let _serving: Vec<_> = Waits::ALL
        .iter()
        .zip(&places)
        .map(|(waits, place)| Serving::start(*waits, echo(), place))
        .collect();
    let blocking: Vec<_> =
        places.iter().map(|place| EchoBlockingClient::connect(place).unwrap()).collect();
    // One that came and went: the rendezvous has had a writer, and its server is not woken by that again.
    drop(EchoBlockingClient::connect(&places[0]).unwrap());
    blocking.iter().for_each(|client| assert_eq!(client.echo(vec![1]).unwrap(), [1]));
    run(async {
        let client = EchoClient::connect(&places[1]).await.unwrap();
        assert_eq!(client.echo(vec![2]).await.unwrap(), [2]);
        let before = used();
        tokio::time::sleep(Duration::from_secs(1)).await;
        thread::sleep(Duration::from_secs(1));
        let used = used() - before;
        assert!(used < Duration::from_millis(20), "{used:?} of 2 s");
    });
}

/// Processor time of this process.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = |time: TimeVal| {
        Duration::new(time.tv_sec().cast_unsigned(), 0)
            + Duration::from_micros(time.tv_usec().cast_unsigned())
    };
    time(usage.user_time()) + time(usage.system_time())
}
