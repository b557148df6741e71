//! `Hello`: what is announced, what is refused, and how methods find each other.

use serde::Deserialize;

use super::{
    Binding, Doorbell, ErrorKindText, Hello, MethodHello, SIGNATURE, ServiceHello, VERSION, bind,
};
use crate::error::{ErrorKind, RpcError};
use crate::limits::Limits;
use crate::protocol::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::wire::frame::{FRAGMENT, HEADER, Header, Kind, PREFACE};
use crate::wire::payload::{self, DecodeLimits};
use crate::wire::shape::fingerprint;

fn add() -> MethodDescriptor {
    MethodDescriptor::new("add").argument::<u64>("a").argument::<u64>("b").returns::<u64>()
}

fn name() -> MethodDescriptor {
    MethodDescriptor::new("name").returns::<String>()
}

fn note() -> MethodDescriptor {
    MethodDescriptor::new("note").argument::<&str>("text").oneway()
}

fn service(
    name: &'static str,
    methods: impl IntoIterator<Item = MethodDescriptor>,
) -> ServiceDescriptor {
    let mut service = ServiceDescriptor::new(name);
    (0..).zip(methods).for_each(|(index, method)| service.method(index, method));
    service
}

fn hello<'a>(services: impl IntoIterator<Item = &'a ServiceDescriptor>) -> Hello {
    Hello::new(&Limits::default(), None, services)
}

fn body(hello: &Hello) -> Vec<u8> {
    let mut body = Vec::new();
    payload::encode(hello, &mut body, usize::MAX).expect("it can be encoded");
    body
}

fn refused(body: &[u8]) -> RpcError {
    Hello::from_body(body).expect_err("it must be refused")
}

fn differs(ours: &str, theirs: &str) -> Binding {
    let (ours, theirs) = (ours.to_owned(), theirs.to_owned());
    Binding::Unusable(Box::new(ErrorKindText::Differs { ours, theirs }))
}

fn unknown() -> Binding {
    Binding::Unusable(Box::new(ErrorKindText::Unknown))
}

#[test]
fn a_hello_survives_the_round_trip_behind_preface_and_header() {
    let service = service("Arith", [add(), note()]);
    let mut hello = Hello::new(&Limits::default(), Some(b"secret"), [&service]);
    hello.doorbell = Doorbell { signal: 23, pid: u32::MAX };
    let bytes = hello.to_bytes().expect("it fits");
    let rest = bytes.strip_prefix(&PREFACE).expect("it starts with the preface");
    let (head, body) = rest.split_first_chunk::<HEADER>().expect("a header follows");
    let header = Header::from_bytes(head).expect("it is a header");
    assert_eq!((header.kind, header.length as usize), (Kind::Hello, body.len()));
    assert_eq!((header.id, header.code, header.flags), (0, 0, 0));
    assert_eq!(Hello::from_body(body), Ok(hello));
}

#[test]
fn limits_and_token_are_announced() {
    let mut limits = Limits::default();
    (limits.message, limits.held_bytes, limits.calls_in_flight) = (1 << 20, 1 << 21, 7);
    let hello = Hello::new(&limits, Some(b"t"), []);
    assert_eq!((hello.version, hello.message_limit, hello.held_limit), (VERSION, 1 << 20, 1 << 21));
    assert_eq!((hello.calls_in_flight, hello.token), (7, b"t".to_vec()));
}

#[test]
fn no_message_is_announced_that_could_not_be_held() {
    let mut limits = Limits::default();
    (limits.message, limits.held_bytes) = (1 << 20, 1 << 17);
    let mut hello = Hello::new(&limits, None, []);
    assert_eq!(hello.message_limit, 1 << 17);
    // What fits one frame is not held.
    limits.held_bytes = 0;
    assert_eq!(Hello::new(&limits, None, []).message_limit, FRAGMENT as u64);
    // The same for one that says otherwise.
    hello.message_limit = u64::MAX;
    assert_eq!(Hello::from_body(&body(&hello)).map(|hello| hello.message_limit), Ok(1 << 17));
}

#[test]
fn another_version_is_refused_whatever_follows_it() {
    for version in [0, 2, 127] {
        let error = refused(&[version, 0xff, 0xff]);
        assert!(matches!(error.kind(), ErrorKind::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("version {version}")), "{error}");
    }
}

#[test]
fn a_hello_that_ends_early_or_goes_on_is_a_violation() {
    let service = service("Arith", [add()]);
    let mut body = body(&hello([&service]));
    for cut in 0..body.len() {
        let error = refused(&body[..cut]);
        assert!(matches!(error.kind(), ErrorKind::ProtocolViolation { .. }), "{cut}: {error:?}");
    }
    body.push(0);
    let error = refused(&body);
    assert!(error.to_string().contains("1 bytes are left over"), "{error}");
}

#[test]
fn a_hello_that_claims_to_be_endless_costs_nothing() {
    // Version, limits, window, no token, no doorbell; then 2^32-1 services.
    let error = refused(&[1, 1, 1, 1, 1, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(error.to_string().contains("elements"), "{error}");
}

#[test]
fn too_many_methods_for_one_hello_are_an_error_and_not_a_cut() {
    let methods = (0..300).map(|_| {
        MethodDescriptor::new("m").argument::<[[(u8, u16); 3]; 3]>("a").returns::<Endless>()
    });
    let service = service("Large", methods);
    let error = hello([&service]).to_bytes().expect_err("it is too large");
    assert!(error.to_string().contains("cannot be announced"), "{error}");
}

/// Its shape is longer than a signature may be.
type Endless = Wide<Wide<Wide<Wide<u8>>>>;

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is looked at")]
struct Wide<T> {
    a_name_of_some_length: Option<T>,
    another_name_of_some_length: Vec<T>,
    yet_another_name_of_some_length: (T, u8),
    the_last_name_of_some_length: Box<T>,
}

#[test]
fn a_long_signature_is_cut_and_its_fingerprint_is_not() {
    let method = || MethodDescriptor::new("wide").returns::<Endless>();
    let service = service("Wide", [method()]);
    let hello = hello([&service]);
    let announced = &hello.services[0].methods[0];
    let whole = method().signature();
    assert!(whole.len() > SIGNATURE);
    assert_eq!(announced.signature.len(), SIGNATURE + 3);
    assert_eq!(announced.signature.strip_suffix("..."), Some(&whole[..SIGNATURE]));
    assert_eq!(announced.fingerprint, fingerprint(&whole));
    assert_eq!(bind(&service, &hello), Ok(vec![Binding::Number(0)]));
}

#[test]
fn methods_are_numbered_over_all_services_in_the_order_announced() {
    let (first, second) = (service("First", [add(), name()]), service("Second", [note(), add()]));
    let theirs = hello([&first, &second]);
    assert_eq!(bind(&first, &theirs), Ok(vec![Binding::Number(0), Binding::Number(1)]));
    assert_eq!(bind(&second, &theirs), Ok(vec![Binding::Number(2), Binding::Number(3)]));
}

#[test]
fn the_order_in_a_trait_does_not_matter() {
    let ours = service("Arith", [note(), add(), name()]);
    let theirs = hello([&service("Arith", [name(), note(), add()])]);
    let numbers = [1, 2, 0].map(Binding::Number).to_vec();
    assert_eq!(bind(&ours, &theirs), Ok(numbers));
}

#[test]
fn a_missing_service_is_named_beside_those_that_there_are() {
    let theirs = hello([&service("One", [add()]), &service("Two", [])]);
    let error = bind(&service("Three", [add()]), &theirs).expect_err("there is none");
    assert_eq!(error.to_string(), "there is no service Three: the peer offers One, Two");
}

#[test]
fn a_missing_method_leaves_the_others_usable() {
    let ours = service("Arith", [add(), note(), name()]);
    let theirs = hello([&service("Arith", [name(), add()])]);
    assert_eq!(bind(&ours, &theirs), Ok(vec![Binding::Number(1), unknown(), Binding::Number(0)]));
}

#[test]
fn a_method_that_differs_names_both_signatures_and_leaves_the_others_usable() {
    let ours = service("Arith", [add(), name()]);
    let other = MethodDescriptor::new("add").argument::<u64>("a").argument::<u32>("b");
    let theirs = hello([&service("Arith", [other.returns::<u64>(), name()])]);
    let differing = differs("(a: u64, b: u64) -> u64", "(a: u64, b: u32) -> u64");
    assert_eq!(bind(&ours, &theirs), Ok(vec![differing, Binding::Number(1)]));
}

#[test]
fn every_part_of_a_signature_counts() {
    let base = || MethodDescriptor::new("m").argument::<u8>("a");
    let variants = [
        base(),
        base().oneway(),
        base().returns::<()>(),
        base().returns::<()>().fails::<u8>(),
        base().argument::<u8>("b"),
        MethodDescriptor::new("m").argument::<u8>("b"),
        MethodDescriptor::new("m").argument::<u16>("a"),
    ];
    let signatures = variants.each_ref().map(MethodDescriptor::signature);
    assert_eq!(
        signatures,
        [
            "(a: u8)",
            "oneway (a: u8)",
            "(a: u8) -> ()",
            "(a: u8) -> () ! u8",
            "(a: u8, b: u8)",
            "(b: u8)",
            "(a: u16)",
        ]
    );
    // What only concerns the caller does not.
    let told = base().idempotent().deadline(5);
    assert_eq!(told.signature(), "(a: u8)");
}

#[test]
fn of_two_with_one_name_the_first_is_found() {
    let method = |name: &str, fingerprint| {
        let (name, signature) = (name.to_owned(), String::new());
        MethodHello { name, fingerprint, signature }
    };
    let print = fingerprint(&add().signature());
    let mut theirs = hello([]);
    let methods = vec![method("add", print), method("add", print)];
    let service_hello = ServiceHello { name: "Arith".to_owned(), methods };
    theirs.services = vec![service_hello.clone(), service_hello];
    let ours = service("Arith", [add()]);
    assert_eq!(bind(&ours, &theirs), Ok(vec![Binding::Number(0)]));
}

#[test]
fn a_number_that_no_frame_can_carry_is_unusable() {
    let filler = MethodHello { name: "x".to_owned(), fingerprint: 0, signature: String::new() };
    let mut theirs = hello([&service("Arith", [add()])]);
    let methods = vec![filler; 1 << 16];
    theirs.services.insert(0, ServiceHello { name: "Filler".to_owned(), methods });
    let bindings = bind(&service("Arith", [add()]), &theirs).expect("the service is there");
    assert!(matches!(bindings[..], [Binding::Unusable(_)]));
}

#[test]
fn compiled_out_methods_have_no_number() {
    let mut service = ServiceDescriptor::new("Arith");
    service.method(0, add());
    service.method(2, name());
    let theirs = hello([&service]);
    assert_eq!(theirs.services[0].methods.len(), 2);
    let bindings = bind(&service, &theirs).expect("the service is there");
    assert_eq!(bindings, [Binding::Number(0), unknown(), Binding::Number(1)]);
}

#[test]
fn garbage_for_a_hello_never_panics() {
    let service = service("Arith", [add(), name(), note()]);
    let good = body(&hello([&service]));
    let mut random = crate::protocol::testing::Random::new(1);
    for _ in 0..20_000 {
        let mut bad = good.clone();
        for _ in 0..=random.below(3) {
            let at = 1 + random.below(bad.len() - 1);
            bad[at] = random.next() as u8;
        }
        if let Ok(theirs) = Hello::from_body(&bad) {
            let _ = bind(&service, &theirs);
        }
    }
    let limits = DecodeLimits::default();
    assert!(payload::decode::<Hello>(&good, &limits).is_ok());
}
