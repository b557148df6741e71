//! What the README says about the configuration and the transports is what there is.
//!
//! Its Rust is compiled as documentation tests of the package.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use ipcall::{Config, Settings, schemes};

const README: &str = include_str!("../README.md");
const NONE: [(&str, &str); 0] = [];

/// The code blocks in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    let texts = README.split(&*start).skip(1);
    texts.map(|text| text.split_once("```").unwrap().0).collect()
}

fn configurations() -> Vec<&'static str> {
    let all = blocks("toml").into_iter();
    all.filter(|block| !block.contains("[dependencies]")).collect()
}

/// The names of all keys, from the error for one that there is not.
fn keys() -> Vec<String> {
    let error = Config::parse("[service.x]\nzzz = 1", "x").unwrap_err().to_string();
    let (_, known) = error.split_once("(known: ").unwrap();
    known.trim_end_matches(')').split(", ").map(str::to_owned).collect()
}

#[test]
fn every_configuration_is_right() {
    let configurations = configurations();
    assert_eq!(configurations.len(), 3);
    for text in configurations {
        let config = Config::parse(text, "README.md").unwrap().with_environment(NONE);
        assert!(config.services().count() > 0);
        for service in config.services() {
            config.endpoint(service).unwrap();
        }
    }
}

#[test]
fn all_keys_are_shown_with_their_defaults() {
    let is_full = |text: &&&str| text.contains("decode-depth");
    let configurations = configurations();
    let full = configurations.iter().find(is_full).unwrap();
    for key in keys() {
        let line = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        assert!(full.lines().any(line), "{key} is not in the README");
    }
    let config = Config::parse(full, "README.md").unwrap().with_environment(NONE);
    assert_eq!(*config.endpoint("wordcount").unwrap().settings(), Settings::default());
}

#[test]
fn every_transport_has_a_row() {
    for scheme in schemes() {
        assert!(README.contains(&format!("\n| `{}:", scheme.name)), "{}", scheme.name);
    }
}

#[test]
fn every_kind_of_error_is_listed() {
    let source = include_str!("../rpc-core/src/error.rs");
    let (_, kinds) = source.split_once("pub enum ErrorKind {").unwrap();
    let (kinds, _) = kinds.split_once("\n}").unwrap();
    let variants = kinds.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        let is_variant = name.starts_with(|first: char| first.is_ascii_uppercase());
        is_variant.then(|| name.trim_end_matches([',', '{', ' ']))
    });
    let variants: Vec<_> = variants.collect();
    assert!(variants.len() > 10, "{variants:?}");
    for variant in variants {
        assert!(README.contains(&format!("`{variant}`")), "{variant}");
    }
}
