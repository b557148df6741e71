//! The rules as far as they show without the compiler: `tests/ui` has them with their spans.

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;
use crate::model::{Bytes, Execution, Method, Outcome, Service, Shape};

/// The service, and the messages about it.
fn read(item: TokenStream) -> (Service, Vec<String>) {
    let mut errors = Errors::default();
    let item = super::item(item).expect("a trait");
    let service = super::service(&item, None, &mut errors);
    (service, errors.messages())
}

/// The methods of a trait that breaks no rule.
fn methods(item: TokenStream) -> Vec<Method> {
    let (service, messages) = read(item);
    assert_eq!(messages, [""; 0]);
    service.methods
}

/// The messages about one method.
fn messages(method: TokenStream) -> Vec<String> {
    read(quote!(trait Service { #method })).1
}

fn shape(ty: TokenStream) -> &'static str {
    let method = methods(quote!(trait Service { fn method(&self, argument: #ty); })).remove(0);
    match method.arguments[0].shape {
        Shape::Plain => "plain",
        Shape::Reference(_) => "reference",
        Shape::Slice(_) => "slice",
        Shape::OptionReference(_) => "option of reference",
        Shape::OptionSlice(_) => "option of slice",
        Shape::Bytes => "bytes",
        Shape::OptionBytes => "option of bytes",
        Shape::ByteBuf => "byte buffer",
        Shape::OptionByteBuf => "option of byte buffer",
        Shape::CowStr => "cow of str",
        Shape::CowBytes => "cow of bytes",
        Shape::Stream(_) => "stream",
    }
}

fn outcome(ty: TokenStream) -> &'static str {
    let method = methods(quote!(trait Service { fn method(&self) -> #ty; })).remove(0);
    match method.outcome {
        Outcome::Oneway => "oneway",
        Outcome::Unit => "unit",
        Outcome::Value(payload) => match payload.bytes {
            Bytes::No => "value",
            Bytes::Vec => "bytes",
            Bytes::OptionVec => "option of bytes",
        },
        Outcome::Fallible(payload, _) => match payload.bytes {
            Bytes::No => "value or error",
            Bytes::Vec => "bytes or error",
            Bytes::OptionVec => "option of bytes or error",
        },
        Outcome::Stream(_, None) => "stream",
        Outcome::Stream(_, Some(_)) => "stream or error",
    }
}

#[test]
fn what_serde_borrows_is_left_to_it() {
    for ty in [
        quote!(&str),
        quote!(&'_ str),
        quote!(&(str)),
        quote!(Option<&str>),
        quote!(Vec<&str>),
        quote!(&Path),
        quote!(&std::path::Path),
        quote!(Option<&Path>),
        quote!(Cow<'static, str>),
        quote!(Cow<'_, Point>),
        quote!(String),
        quote!((u8, &str)),
    ] {
        assert_eq!(shape(ty.clone()), "plain", "{ty}");
    }
}

#[test]
fn references_are_to_something_decoded() {
    assert_eq!(shape(quote!(&Point)), "reference");
    assert_eq!(shape(quote!(&Vec<u8>)), "reference");
    assert_eq!(shape(quote!(&&str)), "reference");
    assert_eq!(shape(quote!(&geometry::Path)), "reference");
    assert_eq!(shape(quote!(&Path<u8>)), "reference");
    assert_eq!(shape(quote!(&[Point])), "slice");
    assert_eq!(shape(quote!(&[&str])), "slice");
    assert_eq!(shape(quote!(Option<&Point>)), "option of reference");
    assert_eq!(shape(quote!(Option<&[Point]>)), "option of slice");
    assert_eq!(shape(quote!(&Option<&Point>)), "reference");
}

#[test]
fn strings_of_bytes_are_recognised_by_their_path() {
    assert_eq!(shape(quote!(&[u8])), "bytes");
    assert_eq!(shape(quote!(Option<&[u8]>)), "option of bytes");
    assert_eq!(shape(quote!(Vec<u8>)), "byte buffer");
    assert_eq!(shape(quote!(::std::vec::Vec<u8>)), "byte buffer");
    assert_eq!(shape(quote!(core::option::Option<Vec<u8>>)), "option of byte buffer");
    assert_eq!(shape(quote!(Vec<u8, Allocator>)), "plain");
    assert_eq!(shape(quote!(Vec<i8>)), "plain");
    assert_eq!(shape(quote!(Cow<'_, str>)), "cow of str");
    assert_eq!(shape(quote!(Cow<str>)), "cow of str");
    assert_eq!(shape(quote!(Cow<'_, [u8]>)), "cow of bytes");
}

#[test]
fn results_are_told_from_values() {
    assert_eq!(outcome(quote!(())), "unit");
    assert_eq!(outcome(quote!(u8)), "value");
    assert_eq!(outcome(quote!(Vec<u8>)), "bytes");
    assert_eq!(outcome(quote!(Option<Vec<u8>>)), "option of bytes");
    assert_eq!(outcome(quote!(Result<(), u8>)), "value or error");
    assert_eq!(outcome(quote!(core::result::Result<Vec<u8>, u8>)), "bytes or error");
    assert_eq!(outcome(quote!(Result<Option<Vec<u8>>, u8>)), "option of bytes or error");
    assert_eq!(outcome(quote!(Option<Result<u8, u8>>)), "value");
}

#[test]
fn options_of_a_method_are_read() {
    let methods = methods(quote! {
        trait Service {
            #[ipc(idempotent)]
            #[ipc(deadline = "20us")]
            async fn first(&self, _: &ipcall::Context, a: u8) -> u8;
            #[ipc(oneway, inline)]
            fn second(&self) -> ();
            fn third(&self);
        }
    });
    assert!(matches!(methods[0].execution, Execution::Future));
    assert!(methods[0].context && methods[0].idempotent);
    assert_eq!(methods[0].deadline, Some(20_000));
    assert_eq!(methods[0].arguments.len(), 1);
    assert!(matches!(methods[1].execution, Execution::Inline));
    assert!(matches!(methods[1].outcome, Outcome::Oneway));
    assert!(matches!(methods[2].execution, Execution::Blocking));
    assert!(!methods[2].context && !methods[2].idempotent);
}

#[test]
fn indices_count_what_is_compiled_out_or_broken() {
    let (service, messages) = read(quote! {
        trait Service {
            #[cfg(any())]
            fn first(&self);
            fn second(self);
            fn third(&self);
        }
    });
    let indices: Vec<_> = service.methods.iter().map(|method| method.index).collect();
    assert_eq!(indices, [0, 2]);
    assert_eq!(messages.len(), 1);
}

#[test]
fn names_are_those_of_plain_words() {
    let (service, _) = read(quote!(
        trait r#Match {
            fn r#type(&self, r#fn: u8);
        }
    ));
    assert_eq!(service.name, "Match");
    assert_eq!(service.methods[0].name(), "type");
    assert_eq!(service.methods[0].arguments[0].name(), "fn");
}

#[test]
fn a_service_has_at_most_65_535_methods() {
    let functions = (0..65_535).map(|n| quote::format_ident!("m{n}"));
    let all = quote!(#(fn #functions(&self);)*);
    assert_eq!(methods(quote!(trait Service { #all })).len(), 65_535);
    let (service, messages) = read(quote!(trait Service { #all fn last(&self); }));
    assert_eq!(service.methods.len(), 65_536);
    assert_eq!(messages.len(), 1);
    assert!(messages[0].contains("at most 65535 methods, and this one 65536"), "{messages:?}");
}

#[test]
fn undeclared_lifetimes_are_reported_and_declared_ones_once() {
    let undeclared = messages(quote!(
        fn method(&self, a: &'a str, b: Cow<'b, str>);
    ));
    assert_eq!(undeclared.len(), 2, "{undeclared:?}");
    let declared = messages(quote!(
        fn method<'a>(&'a self, a: &'a str) -> Cow<'a, str>;
    ));
    assert_eq!(declared.len(), 1, "{declared:?}");
}

#[test]
fn what_the_compiler_reports_as_well_is_not_let_pass() {
    assert_eq!(
        messages(quote!(
            pub fn method(&self);
        ))
        .len(),
        1
    );
    assert_eq!(messages(quote!(default fn method(&self);)).len(), 1);
    assert_eq!(
        messages(quote!(
            fn method(&self, a: !) -> !;
        ))
        .len(),
        2
    );
    assert_eq!(
        messages(quote!(
            fn method(&self, a: Self::A, b: <Self as B>::C);
        ))
        .len(),
        2
    );
    let (_, messages) = read(quote!(
        unsafe auto trait Service {}
    ));
    assert_eq!(messages.len(), 2, "{messages:?}");
}

#[test]
fn a_broken_part_is_reported_once() {
    let nested = messages(quote!(
        fn method(&self, a: Box<dyn Fn(&mut Self) -> *const u8>);
    ));
    assert_eq!(nested.len(), 1, "{nested:?}");
    let length = messages(quote!(
        fn method(&self, a: [u8; Self::LENGTH]);
    ));
    assert_eq!(length, [""; 0]);
}
