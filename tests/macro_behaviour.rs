//! What `#[ipc_service]` generates, at work: both clients, against one server in the same process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ipcall::transport::Binder;
use ipcall::{CallError, CallOptions, Client, Context, Endpoint, ErrorKind, Server, ipc_service};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

const WATCHDOG: Duration = Duration::from_secs(10);

/// Not `Clone`: it is decoded once, and lent.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

/// Borrows from what it is decoded from.
#[derive(Serialize, Deserialize)]
struct Name<'a>(&'a str);

#[ipc_service]
trait Everything {
    async fn text(&self, a: &str, b: Option<&str>, c: Vec<&str>, d: Cow<'_, str>) -> Vec<String>;
    async fn bytes(&self, a: &[u8], b: Option<&[u8]>, c: Vec<u8>, d: Option<Vec<u8>>) -> Vec<u8>;
    fn lent(&self, a: &Point, b: &[Point], c: Option<&Point>, d: Option<&[Point]>) -> i32;
    async fn named(&self, name: Name<'_>, path: &Path) -> PathBuf;

    /// Whether each of them lies behind the one before, in the same bytes.
    #[ipc(inline)]
    fn in_place(&self, a: &str, b: &[u8], c: Vec<&str>, d: Cow<'_, str>, e: Name<'_>) -> bool;
    async fn in_place_async(&self, a: &str, b: &[u8]) -> bool;

    async fn maybe(&self, some: bool) -> Option<Vec<u8>>;
    async fn divide(&self, a: i32, b: i32) -> Result<Vec<u8>, Point>;
    fn divide_blocking(&self, a: i32, b: i32) -> Result<Option<Vec<u8>>, Point>;

    async fn about(&self, cx: &Context, key: &str) -> (String, Option<String>, bool);
    #[ipc(idempotent, deadline = "20s")]
    fn about_blocking(&self, cx: &Context) -> (String, bool);

    #[ipc(oneway)]
    async fn add(&self, amount: u32);
    #[ipc(oneway, inline)]
    fn add_inline(&self, amount: u32);
    async fn total(&self) -> u32;

    async fn nothing(&self) {}
    async fn lengths(&self, words: &str) -> BTreeMap<String, usize> {
        let a = self.text(words, None, Vec::new(), Cow::Borrowed("")).await.remove(0);
        a.split(' ').map(|word| (word.to_owned(), word.len())).collect()
    }

    #[cfg(any())]
    async fn gone(&self) -> Missing;
    async fn r#type(&self, r#fn: u8) -> u8;
}

#[derive(Default)]
struct Implementation {
    total: AtomicU32,
}

/// The end of `bytes`, and their beginning.
fn place(bytes: impl AsRef<[u8]>) -> (usize, usize) {
    let range = bytes.as_ref().as_ptr_range();
    (range.start as usize, range.end as usize)
}

/// Whether there is one byte between each two of them: the length of the second.
fn adjoin(places: &[(usize, usize)]) -> bool {
    places.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0)
}

impl Everything for Implementation {
    async fn text(&self, a: &str, b: Option<&str>, c: Vec<&str>, d: Cow<'_, str>) -> Vec<String> {
        let all = [a].into_iter().chain(b).chain(c).chain([&*d]);
        all.map(str::to_owned).collect()
    }

    async fn bytes(&self, a: &[u8], b: Option<&[u8]>, c: Vec<u8>, d: Option<Vec<u8>>) -> Vec<u8> {
        [a, b.unwrap_or_default(), &c, &d.unwrap_or_default()].concat()
    }

    fn lent(&self, a: &Point, b: &[Point], c: Option<&Point>, d: Option<&[Point]>) -> i32 {
        [a].into_iter().chain(b).chain(c).chain(d.into_iter().flatten()).map(|point| point.x).sum()
    }

    async fn named(&self, name: Name<'_>, path: &Path) -> PathBuf {
        path.join(name.0)
    }

    fn in_place(&self, a: &str, b: &[u8], c: Vec<&str>, d: Cow<'_, str>, e: Name<'_>) -> bool {
        let borrowed = matches!(d, Cow::Borrowed(_));
        // The length of `c` stands before its element's.
        let b_and_c = place(b).1 + 2 == place(c[0]).0;
        borrowed
            && b_and_c
            && adjoin(&[place(a), place(b)])
            && adjoin(&[place(c[0]), place(&*d), place(e.0)])
    }

    async fn in_place_async(&self, a: &str, b: &[u8]) -> bool {
        adjoin(&[place(a), place(b)])
    }

    async fn maybe(&self, some: bool) -> Option<Vec<u8>> {
        some.then(|| vec![1, 2, 3])
    }

    async fn divide(&self, a: i32, b: i32) -> Result<Vec<u8>, Point> {
        let quotient = a.checked_div(b).ok_or(Point { x: a, y: b })?;
        Ok(quotient.to_string().into_bytes())
    }

    fn divide_blocking(&self, a: i32, b: i32) -> Result<Option<Vec<u8>>, Point> {
        let quotient = a.checked_div(b).ok_or(Point { x: a, y: b })?;
        Ok((quotient != 0).then(|| quotient.to_string().into_bytes()))
    }

    async fn about(&self, cx: &Context, key: &str) -> (String, Option<String>, bool) {
        let value = cx.metadata_value(key).map(str::to_owned);
        (cx.method().to_owned(), value, cx.deadline().is_some())
    }

    fn about_blocking(&self, cx: &Context) -> (String, bool) {
        (cx.method().to_owned(), cx.deadline().is_some())
    }

    async fn add(&self, amount: u32) {
        self.total.fetch_add(amount, Ordering::Relaxed);
    }

    fn add_inline(&self, amount: u32) {
        self.total.fetch_add(amount, Ordering::Relaxed);
    }

    async fn total(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    async fn r#type(&self, r#fn: u8) -> u8 {
        r#fn + 1
    }
}

fn endpoint() -> Endpoint {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Endpoint::parse(&format!("mem:macro-behaviour-{number}")).unwrap()
}

fn everything() -> Server {
    Server::new().add_service(EverythingServer::new(Implementation::default()))
}

/// Runs `test` against `server`, both in one runtime, within the watchdog's time.
fn with_server<F: Future<Output = ()>>(server: Server, test: impl FnOnce(Endpoint) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = endpoint();
        let bound = server.bind([&endpoint as &dyn Binder]).unwrap();
        let shutdown = bound.shutdown_handle();
        let serving = tokio::spawn(bound.serve());
        timeout(WATCHDOG, test(endpoint)).await.expect("the test hangs");
        shutdown.shutdown();
        timeout(WATCHDOG, serving).await.expect("the server hangs").unwrap().unwrap();
    });
}

/// Runs `test` against `server`, with no runtime on either side, within the watchdog's time.
fn with_blocking_server(server: Server, test: impl FnOnce(Endpoint) + Send + 'static) {
    let endpoint = endpoint();
    let bound = server.bind([&endpoint as &dyn Binder]).unwrap();
    let shutdown = bound.shutdown_handle();
    let serving = thread::spawn(move || bound.serve_blocking());
    let (done, is_done) = mpsc::channel();
    let testing = thread::spawn(move || {
        test(endpoint);
        done.send(()).unwrap();
    });
    if is_done.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the test hangs");
    }
    testing.join().unwrap();
    shutdown.shutdown();
    serving.join().unwrap().unwrap();
}

#[test]
fn every_shape_of_argument_arrives() {
    with_server(everything(), |endpoint| async move {
        let client = EverythingClient::connect(&endpoint).await.unwrap();
        let texts = client.text("a", Some("b"), vec!["c", "d"], "e".into()).await.unwrap();
        assert_eq!(texts, ["a", "b", "c", "d", "e"]);
        let bytes =
            client.bytes(b"a", Some(b"b"), b"c".to_vec(), Some(b"d".to_vec())).await.unwrap();
        assert_eq!(bytes, b"abcd");
        assert_eq!(client.bytes(b"", None, Vec::new(), None).await.unwrap(), b"");
        let point = |x| Point { x, y: 0 };
        let (one, others) = (point(1), [point(4), point(5)]);
        let sum = client.lent(&one, &[point(2)], Some(&point(3)), Some(&others)).await.unwrap();
        assert_eq!(sum, 15);
        assert_eq!(client.lent(&point(1), &[], None, None).await.unwrap(), 1);
        let path = client.named(Name("b"), Path::new("/a")).await.unwrap();
        assert_eq!(path, Path::new("/a/b"));
        assert_eq!(client.r#type(1).await.unwrap(), 2);
    });
}

#[test]
fn borrowed_arguments_lie_in_the_request() {
    with_server(everything(), |endpoint| async move {
        let client = EverythingClient::connect(&endpoint).await.unwrap();
        let in_place = client.in_place("one", b"two", vec!["three"], "four".into(), Name("five"));
        assert!(in_place.await.unwrap());
        assert!(client.in_place_async("one", b"two").await.unwrap());
    });
}

#[test]
fn every_kind_of_result_comes_back() {
    with_server(everything(), |endpoint| async move {
        let client = EverythingClient::connect(&endpoint).await.unwrap();
        assert_eq!(client.maybe(true).await.unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(client.maybe(false).await.unwrap(), None);
        assert_eq!(client.divide(7, 2).await.unwrap(), b"3");
        assert_eq!(client.divide(7, 0).await, Err(CallError::Method(Point { x: 7, y: 0 })));
        assert_eq!(client.divide_blocking(7, 2).await.unwrap(), Some(b"3".to_vec()));
        assert_eq!(client.divide_blocking(1, 2).await.unwrap(), None);
        assert_eq!(
            client.divide_blocking(7, 0).await,
            Err(CallError::Method(Point { x: 7, y: 0 }))
        );
        client.nothing().await.unwrap();
        assert_eq!(client.lengths("to be not").await.unwrap()["not"], 3);
    });
}

#[test]
fn the_blocking_client_has_the_same_methods() {
    with_blocking_server(everything(), |endpoint| {
        let client = EverythingBlockingClient::connect(&endpoint).unwrap();
        let texts = client.text("a", None, vec![], Cow::Borrowed("b")).unwrap();
        assert_eq!(texts, ["a", "b"]);
        assert!(client.in_place("1", b"2", vec!["3"], "4".into(), Name("5")).unwrap());
        assert_eq!(client.maybe(true).unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(client.divide(7, 2).unwrap(), b"3");
        assert_eq!(client.divide_blocking(1, 2).unwrap(), None);
        assert_eq!(client.divide(7, 0), Err(CallError::Method(Point { x: 7, y: 0 })));
        client.add(1).unwrap();
        client.add_inline(2).unwrap();
        assert_eq!(client.total().unwrap(), 3);
        let again = client.with_metadata("key", "value").clone();
        assert_eq!(again.about("key").unwrap().1.as_deref(), Some("value"));
    });
}

#[test]
fn a_oneway_method_runs_without_a_reply() {
    with_server(everything(), |endpoint| async move {
        let client = EverythingClient::connect(&endpoint).await.unwrap();
        client.add(40).await.unwrap();
        client.add_inline(2).await.unwrap();
        assert_eq!(client.total().await.unwrap(), 42);
    });
}

#[test]
fn the_context_tells_of_the_call() {
    with_server(everything(), |endpoint| async move {
        let client = EverythingClient::connect(&endpoint).await.unwrap();
        assert_eq!(client.about("key").await.unwrap(), ("about".to_owned(), None, false));
        let with_value = client.with_metadata("key", "value").with_deadline(WATCHDOG);
        let about = ("about".to_owned(), Some("value".to_owned()), true);
        assert_eq!(with_value.about("key").await.unwrap(), about);
        let options = CallOptions::new().metadata("key", "other");
        let about = client.with_options(options).about("key").await.unwrap();
        assert_eq!(about.1.as_deref(), Some("other"));
    });
}

#[test]
fn the_deadline_of_the_trait_is_that_of_the_call() {
    with_server(everything(), |endpoint| async move {
        let client = EverythingClient::connect(&endpoint).await.unwrap();
        let about = ("about_blocking".to_owned(), true);
        assert_eq!(client.about_blocking().await.unwrap(), about);
    });
}

mod borrowing {
    #[ipcall::ipc_service]
    pub(crate) trait Store {
        async fn put(&self, key: &str, bytes: &[u8], rest: &[u32]) -> Vec<u8>;
        async fn only_here(&self);
    }
}

mod owning {
    #[ipcall::ipc_service(name = "Store")]
    pub(crate) trait Warehouse {
        async fn added(&self);
        async fn put(&self, key: String, bytes: Vec<u8>, rest: Vec<u32>) -> Box<[u8]>;
    }

    pub(crate) struct Implementation;

    impl Warehouse for Implementation {
        async fn added(&self) {}

        async fn put(&self, key: String, bytes: Vec<u8>, rest: Vec<u32>) -> Box<[u8]> {
            [key.into_bytes(), bytes, vec![rest.len() as u8]].concat().into()
        }
    }
}

#[test]
fn two_traits_agree_by_names_and_shapes() {
    let server = Server::new().add_service(owning::WarehouseServer::new(owning::Implementation));
    with_server(server, |endpoint| async move {
        let client = borrowing::StoreClient::connect(&endpoint).await.unwrap();
        assert_eq!(client.put("a", b"b", &[1, 2]).await.unwrap(), b"ab\x02");
        let error = client.only_here().await.unwrap_err();
        let kind = error.rpc().unwrap().kind();
        assert!(matches!(kind, ErrorKind::UnknownMethod { .. }), "{kind:?}");
    });
}

#[test]
fn services_share_a_connection_and_an_implementation() {
    let shared = Arc::new(Implementation::default());
    let server = Server::new()
        .add_service(EverythingServer::from_arc(Arc::clone(&shared)))
        .add_service(owning::WarehouseServer::new(owning::Implementation));
    with_server(server, |endpoint| async move {
        let connection = Client::connect(&endpoint).await.unwrap();
        let everything = EverythingClient::from_client(&connection).unwrap();
        let warehouse = owning::WarehouseClient::from_client(everything.client()).unwrap();
        warehouse.added().await.unwrap();
        shared.add(5).await;
        assert_eq!(everything.total().await.unwrap(), 5);
    });
}

/// A trait without `async` can be an object.
#[ipc_service]
trait Plain {
    fn double(&self, n: u32) -> u32;
}

struct Doubler;

impl Plain for Doubler {
    fn double(&self, n: u32) -> u32 {
        2 * n
    }
}

#[test]
fn a_trait_object_can_be_served() {
    let object: Arc<dyn Plain> = Arc::new(Doubler);
    let server = Server::new().add_service(PlainServer::from_arc(object).clone());
    with_server(server, |endpoint| async move {
        let client = PlainClient::connect(&endpoint).await.unwrap();
        assert_eq!(client.double(21).await.unwrap(), 42);
    });
}

#[test]
fn clients_and_servers_show_what_they_are() {
    assert_eq!(format!("{:?}", PlainServer::new(Doubler)), "PlainServer { .. }");
    with_server(Server::new().add_service(PlainServer::new(Doubler)), |endpoint| async move {
        let client = PlainClient::connect(&endpoint).await.unwrap();
        assert!(format!("{client:?}").starts_with("PlainClient("), "{client:?}");
    });
}
