//! Two sides that were not built from the same trait.

use ipcall::{Client, ErrorKind, Outcome, RpcError};

use crate::support::frame::Frame;
use crate::support::raw::Raw;
use crate::support::serving::run;
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient};

mod client {
    use ipcall::ipc_service;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Part {
        pub(crate) name: String,
        pub(crate) weight: u32,
    }

    #[ipc_service(name = "Store")]
    pub(crate) trait Shop {
        async fn only_here(&self);
        async fn put(&self, part: Part) -> u64;
        async fn fetch(&self, id: u64) -> Result<String, u8>;
        async fn count(&self) -> u64;
        #[ipc(oneway)]
        async fn forget(&self, id: u64);
    }
}

mod server {
    use ipcall::ipc_service;
    use serde::{Deserialize, Serialize};

    /// The same with a wider field.
    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Part {
        name: String,
        weight: u64,
    }

    #[ipc_service(name = "Store")]
    pub(crate) trait Warehouse {
        async fn count(&self) -> u64;
        async fn put(&self, part: Part) -> u64;
        /// The same without an error.
        async fn fetch(&self, id: u64) -> String;
        /// The same with a reply.
        async fn forget(&self, id: u64);
    }

    pub(crate) struct Empty;

    impl Warehouse for Empty {
        async fn count(&self) -> u64 {
            17
        }

        async fn put(&self, part: Part) -> u64 {
            panic!("{part:?} was misread");
        }

        async fn fetch(&self, id: u64) -> String {
            panic!("{id} was misread");
        }

        async fn forget(&self, id: u64) {
            panic!("{id} was misread");
        }
    }
}

fn part() -> client::Part {
    client::Part { name: "bolt".to_owned(), weight: 5 }
}

#[track_caller]
fn assert_incompatible(error: &RpcError, name: &str, our_part: &str, their_part: &str) {
    assert_kind!(error, ErrorKind::Incompatible { method, ours, theirs }
        if method == name && ours.contains(our_part) && theirs.contains(their_part));
    assert_eq!(error.outcome(), Outcome::NotExecuted);
    let text = error.to_string();
    assert!(text.contains(name) && text.contains(our_part) && text.contains(their_part), "{text}");
}

#[test]
fn a_method_that_differs_is_an_error_and_the_others_work() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint();
            let warehouse = server::WarehouseServer::new(server::Empty);
            let server = State::new().server().add_service(warehouse);
            let serving = Serving::start(waits, server, &endpoint);
            let shop = client::ShopBlockingClient::connect(&endpoint).unwrap();
            let error = rpc_error(shop.put(part()));
            assert_incompatible(&error, "Store.put", "weight: u32", "weight: u64");
            let error = rpc_error(shop.fetch(1));
            assert_incompatible(&error, "Store.fetch", "(id: u64) -> str ! u8", "(id: u64) -> str");
            let error = rpc_error(shop.forget(1));
            assert_incompatible(&error, "Store.forget", "oneway (id: u64)", "(id: u64)");
            let error = rpc_error(shop.only_here());
            assert_kind!(error, ErrorKind::UnknownMethod { method } if method == "Store.only_here");
            assert_eq!(error.outcome(), Outcome::NotExecuted);
            assert_eq!(shop.count().unwrap(), 17, "found by name, not by position");
            run(async {
                let shop = client::ShopClient::connect(&endpoint).await.unwrap();
                let error = rpc_error(shop.put(part()).await);
                assert_incompatible(&error, "Store.put", "weight: u32", "weight: u64");
                assert_incompatible(
                    &rpc_error(shop.forget(1).await),
                    "Store.forget",
                    "oneway (id: u64)",
                    "(id: u64)",
                );
                assert_eq!(shop.count().await.unwrap(), 17);
                let workshop = WorkshopClient::from_client(shop.client()).unwrap();
                assert_eq!(workshop.add(1, 1).await.unwrap(), 2);
            });
            assert_eq!(serving.stats().calls(), 3, "nothing else was even sent");
        }
    });
}

#[test]
fn an_unknown_service_is_told_together_with_those_offered() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let warehouse = server::WarehouseServer::new(server::Empty);
        let server = ipcall::Server::new().add_service(warehouse);
        let _serving = Serving::start(Waits::CurrentThread, server, &endpoint);
        let check = |error: RpcError| {
            assert_kind!(error, ErrorKind::UnknownService { service, offered }
                if service == "Workshop" && offered == &["Store"]);
            assert_eq!(error.endpoint(), Some(endpoint.uri()));
            let text = error.to_string();
            assert!(text.contains("Workshop") && text.contains("Store"), "{text}");
        };
        check(WorkshopBlockingClient::connect(&endpoint).unwrap_err());
        run(async {
            check(WorkshopClient::connect(&endpoint).await.unwrap_err());
            // The connection is none the worse for it.
            let connection = Client::connect(&endpoint).await.unwrap();
            check(WorkshopClient::from_client(&connection).unwrap_err());
            let shop = client::ShopClient::from_client(&connection).unwrap();
            assert_eq!(shop.count().await.unwrap(), 17);
        });
    });
}

#[test]
fn a_server_without_services_says_so() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let _serving = Serving::start(Waits::CurrentThread, ipcall::Server::new(), &endpoint);
        let error = WorkshopBlockingClient::connect(&endpoint).unwrap_err();
        assert_kind!(error, ErrorKind::UnknownService { offered, .. } if offered.is_empty());
    });
}

#[test]
fn a_method_number_that_is_not_offered_is_answered_so() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint();
            let serving = Serving::start(waits, State::new().server(), &endpoint);
            let (mut raw, hello) = Raw::greeted(&endpoint);
            let methods: usize = hello.services.iter().map(|service| service.methods.len()).sum();
            for number in [u16::try_from(methods).unwrap(), u16::MAX] {
                raw.send(&Frame::call(number, 1, &[]));
                let reply = raw.frame().unwrap();
                assert_eq!((reply.code, reply.id), (5, 1), "unknown method");
                assert!(reply.text().contains(&number.to_string()), "{reply:?}");
            }
            let answer = crate::support::raw::number(&hello, "answer");
            raw.send(&Frame::call(answer, 2, &[]));
            assert_eq!(raw.frame().unwrap(), Frame::reply(2, &[42]));
            assert_eq!(serving.stats().violations(), 0);
        }
    });
}
