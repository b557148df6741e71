//! A server that only so many clients can come to ends with the last of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ipcall::transport::{Binder, Connector, Listener, Listening, Transport, memory};
use ipcall::{RpcError, Settings};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::support::waiting::until;
use crate::support::{Serving, Subject, Waits, Watchdog};
use crate::workshop::{State, WorkshopBlockingClient};

/// A place for one client, which is there from the beginning.
struct Single {
    uri: Arc<str>,
    settings: Settings,
    ours: Mutex<Option<Transport>>,
    theirs: Mutex<Option<Transport>>,
}

impl Single {
    fn new() -> Self {
        let (ours, theirs) = memory::pair();
        Self {
            uri: "single".into(),
            settings: Settings::default(),
            ours: Mutex::new(Some(ours)),
            theirs: Mutex::new(Some(theirs)),
        }
    }
}

impl Connector for Single {
    fn uri(&self) -> &Arc<str> {
        &self.uri
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn try_connect(&self) -> Result<Transport, RpcError> {
        Ok(self.ours.lock().unwrap().take().unwrap())
    }
}

impl Binder for Single {
    fn uri(&self) -> &Arc<str> {
        &self.uri
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn bind(&self) -> Result<Listening, RpcError> {
        let client = self.theirs.lock().unwrap().take();
        let bell = EventFd::from_value_and_flags(1, EfdFlags::EFD_CLOEXEC).unwrap();
        let listener = Box::new(Waiting { client, bell });
        Ok(Listening { listener, uri: Arc::clone(&self.uri) })
    }
}

struct Waiting {
    client: Option<Transport>,
    bell: EventFd,
}

impl Listener for Waiting {
    fn try_accept(&mut self) -> io::Result<Transport> {
        self.client.take().ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn is_exhausted(&self) -> bool {
        self.client.is_none()
    }
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[test]
fn it_ends_with_the_last_of_them() {
    let _watchdog = Watchdog::new("exhausted".to_owned());
    for waits in Waits::ALL {
        let places = [Single::new(), Single::new()];
        let serving = Serving::start_at_any(
            waits,
            State::new().server(),
            places.iter().map(|place| place as _),
        );
        let [first, second] =
            places.each_ref().map(|place| WorkshopBlockingClient::connect(place).unwrap());
        drop(first);
        assert_eq!(second.add(1, 1).unwrap(), 2);
        assert!(serving.is_running());
        drop(second);
        serving.join();
    }
}

#[test]
fn it_lets_calls_without_a_reply_end_within_its_grace_time() {
    let _watchdog = Watchdog::new("exhausted, with calls without a reply".to_owned());
    for waits in Waits::TOKIO {
        let (single, state) = (Single::new(), State::new());
        let serving = Serving::start_at_any(waits, state.server(), [&single as _]);
        let client = WorkshopBlockingClient::connect(&single).unwrap();
        client.wait_oneway().unwrap();
        until(|| state.running() == 1);
        drop(client);
        thread::sleep(Duration::from_millis(50));
        assert!(serving.is_running());
        state.gate.add_permits(1);
        serving.join();
        assert_eq!(state.ended(), 1);

        let (single, state) = (Single::new(), State::new());
        let server = state.server().grace(Duration::from_millis(100));
        let serving = Serving::start_at_any(waits, server, [&single as _]);
        let client = WorkshopBlockingClient::connect(&single).unwrap();
        client.wait_oneway().unwrap();
        until(|| state.running() == 1);
        drop(client);
        serving.join();
    }
}

#[test]
fn it_goes_on_while_others_may_come() {
    let _watchdog = Watchdog::new("not exhausted".to_owned());
    let subject = Subject::named("mem");
    for waits in Waits::ALL {
        let (single, endpoint) = (Single::new(), subject.endpoint());
        let serving =
            Serving::start_at_any(waits, State::new().server(), [&single as _, &endpoint as _]);
        drop(WorkshopBlockingClient::connect(&single).unwrap());
        until(|| serving.stats().accepted() == 1);
        for _ in 0..3 {
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(client.add(1, 1).unwrap(), 2);
        }
        assert!(serving.is_running());
    }
}

#[test]
fn it_can_be_told_to_stop_before() {
    let _watchdog = Watchdog::new("exhausted and stopped".to_owned());
    for waits in Waits::ALL {
        let single = Single::new();
        let serving = Serving::start_at_any(waits, State::new().server(), [&single as _]);
        let client = WorkshopBlockingClient::connect(&single).unwrap();
        assert_eq!(client.add(1, 1).unwrap(), 2);
        serving.shutdown();
        serving.join();
        client.add(1, 1).unwrap_err();
    }
}
