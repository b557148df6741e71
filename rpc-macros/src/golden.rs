//! The expansions of `golden/*.in.rs`, compared with `golden/*.out.rs`, for review in diffs.
//!
//! `IPCALL_BLESS=1 cargo test -p ipcall-macros golden` writes them anew.

use std::path::{Path, PathBuf};
use std::{env, fs};

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Item, Meta, parse_quote};

#[test]
fn expansions_are_as_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut inputs: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder is in the repository")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.to_string_lossy().ends_with(".in.rs"))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no input in {}", folder.display());

    let bless = env::var_os("IPCALL_BLESS").is_some();
    let differing: Vec<String> = inputs.iter().filter_map(|input| compare(input, bless)).collect();
    assert!(differing.is_empty(), "IPCALL_BLESS=1 accepts what follows\n{}", differing.join("\n"));
}

/// What is different, or nothing.
fn compare(input: &Path, bless: bool) -> Option<String> {
    let output = input.to_string_lossy().replace(".in.rs", ".out.rs");
    let source = fs::read_to_string(input).expect("the input was listed");
    let expanded = expand(&source);
    if bless {
        fs::write(&output, expanded).expect("the folder can be written");
        return None;
    }
    let reviewed = fs::read_to_string(&output).unwrap_or_default();
    (expanded != reviewed).then(|| format!("{output} would be:\n{expanded}"))
}

fn expand(source: &str) -> String {
    let item = syn::parse_str(source).expect("an input is one item");
    let (attribute, item) = split(item);
    let expanded = crate::service(attribute, item, || Ok(parse_quote!(::ipcall)));
    prettyplease::unparse(&syn::parse2(expanded).expect("an expansion is a list of items"))
}

/// What the compiler hands to the macro: the inside of `#[ipc_service]`, and the item without it.
fn split(item: Item) -> (TokenStream, TokenStream) {
    let Item::Trait(mut item) = item else {
        return (quote!(), item.to_token_stream());
    };
    let attribute = match item.attrs.remove(0).meta {
        Meta::List(list) => list.tokens,
        _ => TokenStream::new(),
    };
    (attribute, item.to_token_stream())
}
