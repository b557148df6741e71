//! Several services on one server and one connection; several endpoints of one server.

use ipcall::{BlockingClient, Client, Server, ipc_service, schemes};

use crate::support::serving::run;
use crate::support::{Serving, Subject, Waits, Watchdog, over_every_scheme};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient, WorkshopServer};

/// A second service, with a method that the first one has, too.
#[ipc_service]
pub(crate) trait Office {
    async fn add(&self, a: u64, b: u64) -> u64;
    async fn greet(&self, name: &str) -> String;
}

struct Clerk;

impl Office for Clerk {
    async fn add(&self, a: u64, b: u64) -> u64 {
        1000 + a + b
    }

    async fn greet(&self, name: &str) -> String {
        format!("hello {name}")
    }
}

fn both() -> Server {
    let workshop = WorkshopServer::from_arc(State::new());
    Server::new().add_service(workshop).add_service(OfficeServer::new(Clerk))
}

#[test]
fn two_services_share_a_server_and_a_connection() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint();
            let serving = Serving::start(waits, both(), &endpoint);
            run(async {
                let connection = Client::connect(&endpoint).await.unwrap();
                let workshop = WorkshopClient::from_client(&connection).unwrap();
                let office = OfficeClient::from_client(&connection).unwrap();
                let (ours, theirs) = tokio::join!(workshop.add(1, 2), office.add(1, 2));
                assert_eq!((ours.unwrap(), theirs.unwrap()), (3, 1003));
                assert_eq!(office.greet("you").await.unwrap(), "hello you");
            });
            let connection = BlockingClient::connect(&endpoint).unwrap();
            let workshop = WorkshopBlockingClient::from_client(&connection).unwrap();
            let office = OfficeBlockingClient::from_client(workshop.client()).unwrap();
            assert_eq!((workshop.add(1, 2).unwrap(), office.add(1, 2).unwrap()), (3, 1003));
            assert_eq!(serving.stats().accepted(), 2, "a connection for each client");
        }
    });
}

#[test]
fn one_server_is_found_at_several_endpoints_at_once() {
    for waits in Waits::ALL {
        let _watchdog = Watchdog::new(format!("{waits:?} at every endpoint"));
        let names = schemes().iter().filter(|scheme| scheme.is_available());
        let subjects: Vec<_> = names.map(|scheme| Subject::named(scheme.name)).collect();
        // Two of each transport.
        let endpoints: Vec<_> =
            subjects.iter().flat_map(|subject| [subject.endpoint(), subject.endpoint()]).collect();
        let state = State::new();
        let serving =
            Serving::start_at(waits, state.server(), &endpoints.iter().collect::<Vec<_>>());
        let clients: Vec<_> = endpoints
            .iter()
            .map(|endpoint| WorkshopBlockingClient::connect(endpoint).unwrap())
            .collect();
        for (client, endpoint) in clients.iter().zip(&endpoints) {
            client.note(endpoint.uri()).unwrap();
            assert_eq!(client.add(1, 2).unwrap(), 3);
        }
        let mut uris: Vec<_> = endpoints.iter().map(|endpoint| endpoint.uri().to_owned()).collect();
        uris.sort();
        crate::support::waiting::until(|| state.noted() == uris.len());
        let mut notes = clients[0].notes().unwrap();
        notes.sort();
        assert_eq!(notes, uris, "all endpoints lead to one implementation");
        assert_eq!(serving.stats().accepted(), endpoints.len() as u64);
    }
}

#[test]
fn a_server_that_cannot_have_one_endpoint_has_none() {
    over_every_scheme(|subject| {
        let (taken, free) = (subject.endpoint(), subject.endpoint());
        let _serving = Serving::start(Waits::Threads, both(), &taken);
        let error = both().bind([&free as _, &taken as _]).unwrap_err();
        crate::support::assert_kind!(error, ipcall::ErrorKind::AddressInUse { .. });
        assert_eq!(error.endpoint(), Some(taken.uri()));
        // The one that it had taken first is free again.
        drop(both().bind([&free as _]).unwrap());
    });
}

#[test]
fn a_service_cannot_be_offered_twice() {
    over_every_scheme(|subject| {
        let server = both().add_service(OfficeServer::new(Clerk));
        let error = server.bind([&subject.endpoint() as _]).unwrap_err();
        assert!(error.to_string().contains("Office is offered twice"), "{error}");
    });
}
