//! The environment: `IPCALL_<SERVICE>_<KEY>`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use ipcall_transports::suggest;

use super::error::{ConfigError, Place};
use super::keys::{Given, Key, Value};

const PREFIX: &str = "IPCALL_";

/// The variables that begin with `IPCALL_`, as they were when this was made.
#[derive(Clone, Debug)]
pub(super) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    pub(super) fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with(PREFIX).then_some((name, value))
        });
        Self(ours.collect())
    }

    /// What the variables say about `service`. One that is nearly a key is a mistake; `services` are
    /// those that it may belong to instead.
    pub(super) fn service<'a>(
        &self,
        service: &'a str,
        services: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Given>, ConfigError> {
        let mut given = Vec::new();
        for key in Key::all() {
            let name = variable(service, key.name);
            if let Some(value) = self.0.get(&name) {
                let entry = read(key, name, value)?;
                entry.check()?;
                given.push(entry);
            }
        }
        let known: Vec<String> = services
            .chain([service])
            .flat_map(|service| Key::all().map(move |key| variable(service, key.name)))
            .collect();
        match self.0.keys().find_map(|name| slip(name, service, &known)) {
            Some(error) => Err(error),
            None => Ok(given),
        }
    }
}

/// The variable for a key of a service.
pub(super) fn variable(service: &str, key: &str) -> String {
    format!("{PREFIX}{service}_{key}").to_uppercase().replace('-', "_")
}

fn read(key: &'static Key, name: String, value: &OsString) -> Result<Given, ConfigError> {
    let shown = format!("\"{}\"", value.to_string_lossy());
    match value.to_str() {
        Some(text) => Ok(Given {
            key,
            full_key: name.clone(),
            value: Value::Text(text.to_owned()),
            shown,
            place: Place::Variable(name),
        }),
        None => Err(ConfigError::new(Place::Variable(name.clone()), "the value is not UTF-8")
            .key_written(name, Some(shown))),
    }
}

/// The error that `name` is if it is no variable of any service, but nearly one of this.
fn slip(name: &str, service: &str, known: &[String]) -> Option<ConfigError> {
    let key = name.strip_prefix(&variable(service, ""))?;
    if known.iter().any(|variable| variable == name) {
        return None;
    }
    let keys: Vec<String> =
        Key::all().map(|key| key.name.to_uppercase().replace('-', "_")).collect();
    let meant = suggest::closest(key, keys.iter().map(String::as_str))?;
    let problem = format!("no such key; did you mean `{}`?", variable(service, meant));
    Some(ConfigError::new(Place::Variable(name.to_owned()), problem).key_written(name, None))
}
