//! What `#[ipc_service]` refuses, with its words and its places, and what it must take.
//!
//! `TRYBUILD=overwrite cargo test --test macro_ui` accepts changed messages.

/// One test, so that what both need is built once.
#[test]
fn traits_are_accepted_or_told_what_to_write() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    cases.pass("tests/ui/pass/*.rs");
}
