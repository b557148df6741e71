//! Taking a URI apart: `scheme:rest?key=value&key=value`.

use super::percent;
use crate::suggest;

/// A URI in its parts, none of them understood yet.
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    /// Still percent-encoded.
    rest: &'a str,
    /// Decoded, and not necessarily text.
    query: Vec<(&'a str, Vec<u8>)>,
}

impl<'a> Parts<'a> {
    /// Splits `uri`; the error says what would be right.
    pub(crate) fn split(uri: &'a str) -> Result<Self, String> {
        if uri.trim() != uri {
            return Err("there is white space around it: remove that".to_owned());
        }
        let (scheme, rest) = match uri.split_once(':') {
            Some((scheme, rest)) if !scheme.is_empty() && !scheme.contains('/') => (scheme, rest),
            _ if uri.starts_with('/') => {
                return Err(format!("no scheme: write for example unix:{uri}"));
            }
            _ => {
                let example = "unix:/run/user/1000/wordcount/socket";
                return Err(format!("no scheme: write scheme:where, for example {example}"));
            }
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, split_query(query)?),
            None => (rest, Vec::new()),
        };
        Ok(Self { scheme, rest, query })
    }

    /// What stands between the scheme and the query, decoded.
    pub(crate) fn rest(&self) -> Result<Vec<u8>, String> {
        percent::decode(self.rest)
    }

    /// The same as it is written, for schemes that have nothing to decode.
    pub(crate) fn raw_rest(&self) -> &'a str {
        self.rest
    }

    /// The value of `key` in the query, which has to be text.
    pub(crate) fn value(&self, key: &str) -> Result<Option<&str>, String> {
        let value = self.values(key).next().map(str::from_utf8).transpose();
        value.map_err(|_| format!("the value of `{key}` is not UTF-8"))
    }

    /// The values of a key that may stand there several times, in their order.
    pub(crate) fn values(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.query.iter().filter(move |(name, _)| *name == key).map(|(_, value)| value.as_slice())
    }

    /// Refuses any key but these, and to have one twice that is not among the repeatable.
    pub(super) fn allow_keys(&self, known: &[&str], repeatable: &[&str]) -> Result<(), String> {
        for (place, (key, _)) in self.query.iter().enumerate() {
            if !known.contains(key) {
                return Err(self.unknown(key, known));
            }
            let before = &self.query[..place];
            if !repeatable.contains(key) && before.iter().any(|(other, _)| other == key) {
                return Err(format!("the key `{key}` stands there twice"));
            }
        }
        Ok(())
    }

    fn unknown(&self, key: &str, known: &[&str]) -> String {
        let scheme = self.scheme;
        if known.is_empty() {
            return format!("unknown key `{key}`: a {scheme} endpoint has no keys after `?`");
        }
        let hint = suggest::hint(key, known.iter().copied());
        let known = known.join(", ");
        format!("unknown key `{key}`{hint} (a {scheme} endpoint knows: {known})")
    }
}

fn split_query(query: &str) -> Result<Vec<(&str, Vec<u8>)>, String> {
    query.split('&').map(split_pair).collect()
}

fn split_pair(pair: &str) -> Result<(&str, Vec<u8>), String> {
    match pair.split_once('=') {
        Some((key, value)) => Ok((key, percent::decode(value)?)),
        None => Err(format!("`{pair}` after `?` is no key=value")),
    }
}
