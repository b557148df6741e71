//! Taking a URI apart: `scheme:rest?key=value&key=value`.

use super::percent;
use crate::suggest;

/// A URI in its parts, none of them understood yet.
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    /// Still percent-encoded.
    rest: &'a str,
    query: Vec<(&'a str, String)>,
}

impl<'a> Parts<'a> {
    /// Splits `uri`; the error says what would be right.
    pub(super) fn split(uri: &'a str) -> Result<Self, String> {
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

    /// The value of `key` in the query.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    /// Refuses any key but these.
    pub(super) fn allow_keys(&self, known: &[&str]) -> Result<(), String> {
        let Some((key, _)) = self.query.iter().find(|(key, _)| !known.contains(key)) else {
            return Ok(());
        };
        let scheme = self.scheme;
        if known.is_empty() {
            return Err(format!("unknown key `{key}`: a {scheme} endpoint has no keys after `?`"));
        }
        let hint = suggest::hint(key, known.iter().copied());
        let known = known.join(", ");
        Err(format!("unknown key `{key}`{hint} (a {scheme} endpoint knows: {known})"))
    }
}

fn split_query(query: &str) -> Result<Vec<(&str, String)>, String> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for pair in query.split('&') {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(format!("`{pair}` after `?` is no key=value"));
        };
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(format!("the key `{key}` stands there twice"));
        }
        let value = String::from_utf8(percent::decode(value)?)
            .map_err(|_| format!("the value of `{key}` is not UTF-8"))?;
        pairs.push((key, value));
    }
    Ok(pairs)
}
