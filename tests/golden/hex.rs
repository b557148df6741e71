//! Reads vectors: `[name]`, then bytes in hex; `#` begins a comment.

use std::collections::BTreeMap;
use std::path::Path;

/// The vectors of one file, by name.
#[derive(Debug, PartialEq)]
pub(crate) struct Vectors(BTreeMap<String, Vec<u8>>);

impl Vectors {
    pub(crate) fn load(file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
        Self::parse(&std::fs::read_to_string(path).unwrap())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut vectors = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            let line = line.split('#').next().unwrap().trim();
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                assert!(vectors.insert(name.to_owned(), Vec::new()).is_none(), "{name} twice");
                current = Some(name.to_owned());
                continue;
            }
            for byte in line.split_ascii_whitespace() {
                let name = current.as_ref().expect("a name comes before bytes");
                let byte = u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("{byte}?"));
                vectors.get_mut(name).unwrap().push(byte);
            }
        }
        Self(vectors)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> &[u8] {
        self.0.get(name).unwrap_or_else(|| panic!("there is no vector [{name}]"))
    }
}

/// Compares bytes and shows them in hex.
#[track_caller]
pub(crate) fn assert_same(name: &str, ours: &[u8], golden: &[u8]) {
    assert!(ours == golden, "[{name}] is golden as\n{golden:02x?}\nand ours is\n{ours:02x?}");
}
