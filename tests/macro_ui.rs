//! What `#[ipc_service]` refuses, with its words and its places, and what it must take.
//!
//! `TRYBUILD=overwrite cargo test --test macro_ui` accepts changed messages.

#[test]
fn refused_traits_are_told_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

#[test]
fn accepted_traits_compile_without_a_warning() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}
