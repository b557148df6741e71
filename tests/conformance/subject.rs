//! What a test is about: one transport, with fresh endpoints of it and connected pairs.

use std::os::fd::AsFd;

use ipcall_core::ErrorKind;
use ipcall_core::transport::{Binder, Connector, Listener, Transport};
use ipcall_transports::{Endpoint, Scheme, schemes};

use crate::launched::lending;
use crate::quota::turn;
use crate::scratch::Scratch;
use crate::waiting::{Want, sleep};
use crate::watchdog::Watchdog;

/// One transport, and a directory for its names that has to be empty at the end.
pub(crate) struct Subject {
    scheme: &'static Scheme,
    scratch: Scratch,
    connect: fn(&Self) -> (Transport, Transport),
}

/// Runs `test` over the transport called `subject`, under a watchdog.
pub(crate) fn run(subject: &str, name: &str, test: fn(&Subject)) {
    let _turn = turn(subject);
    let _watchdog = Watchdog::new(format!("{subject}::{name}"));
    test(&Subject::new(subject));
}

impl Subject {
    pub(crate) fn new(name: &str) -> Self {
        let (scheme, connect): (_, fn(&Self) -> _) = match name {
            lending::SUBJECT => (lending::SCHEME, |_| lending::pair()),
            scheme => (scheme, Self::bind_and_connect),
        };
        let scheme = schemes().iter().find(|known| known.name == scheme).unwrap();
        Self { scheme, scratch: Scratch::new(), connect }
    }

    pub(crate) fn scheme(&self) -> &'static Scheme {
        self.scheme
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// An endpoint that nobody uses yet.
    pub(crate) fn endpoint(&self, name: &str) -> Endpoint {
        self.scheme.fresh(self.scratch.path(), name).unwrap()
    }

    /// Two connected ends: the server's and the client's.
    pub(crate) fn pair(&self) -> (Transport, Transport) {
        (self.connect)(self)
    }

    fn bind_and_connect(&self) -> (Transport, Transport) {
        let (mut listener, endpoint) = self.endpoint("pair").bind_resolved().unwrap();
        let client = endpoint.try_connect().unwrap();
        (accept(&mut *listener), client)
    }
}

/// The next client, waited for.
pub(crate) fn accept(listener: &mut dyn Listener) -> Transport {
    loop {
        match listener.try_accept() {
            Ok(client) => return client,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                sleep(listener.as_fd(), Want::Read);
            }
            Err(error) => panic!("accepting: {error}"),
        }
    }
}

/// A listener at `endpoint`.
pub(crate) fn bind(endpoint: &Endpoint) -> Box<dyn Listener> {
    endpoint.bind().unwrap().listener
}

/// A connection to a server that is just starting.
pub(crate) fn connect_patiently(endpoint: &Endpoint) -> Transport {
    loop {
        match endpoint.try_connect() {
            Ok(transport) => return transport,
            Err(error) if matches!(error.kind(), ErrorKind::ServerAbsent { .. }) => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}
