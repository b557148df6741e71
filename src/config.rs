//! Where services are and how they are talked to, from a TOML file and the environment.
//!
//! ```toml
//! [service.wordcount]
//! endpoint = "unix:/run/user/1000/wordcount/socket"
//! deadline = "5s"
//! max-message = "64MiB"
//! spin = "20us"
//!
//! [defaults]                # what a service does not say itself
//! wait-for-server = "2s"
//! ```
//!
//! A variable `IPCALL_<SERVICE>_<KEY>`, in capitals and with `_` for `-`, wins over the file:
//! `IPCALL_WORDCOUNT_ENDPOINT=tcp:127.0.0.1:7070`. The keys stand in one table, in `keys`.

mod environment;
mod error;
mod file;
mod keys;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ipcall_core::Settings;
use ipcall_transports::{Endpoint, read_token_file};

use environment::Environment;
pub use error::ConfigError;
use error::Place;
use file::{File, Table};
use keys::{Effect, Given};

/// Endpoints by the name of their service.
///
/// ```
/// use ipcall::config::Config;
///
/// let config = Config::parse(
///     r#"
///         [service.wordcount]
///         endpoint = "unix:/run/user/1000/wordcount/socket"
///         deadline = "5s"
///     "#,
///     "wordcount.toml",
/// )?;
/// assert_eq!(config.endpoint("wordcount")?.uri(), "unix:/run/user/1000/wordcount/socket");
/// # Ok::<(), ipcall::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    file: Option<File>,
    environment: Environment,
}

impl Config {
    /// Reads the file `path`, and takes note of the environment.
    ///
    /// # Errors
    /// When the file cannot be read, is no TOML, or has a key or a value that is not right. What an
    /// endpoint says is looked at when it is asked for, because that may read a token.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let name = path.as_ref().display().to_string();
        let text = fs::read_to_string(&path).map_err(|source| {
            ConfigError::new(Place::File(name.as_str().into()), "cannot be read").because(source)
        })?;
        Self::parse(&text, &name)
    }

    /// Like [`load`](Self::load), from the text of a file; errors call it `file_name`.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        let file = File::parse(text, file_name)?;
        Ok(Self { file: Some(file), environment: Environment::of_process() })
    }

    /// The environment alone.
    pub fn from_env() -> Self {
        Self { file: None, environment: Environment::of_process() }
    }

    /// The same with these variables in place of the process's own.
    #[must_use]
    pub fn with_environment<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.environment = Environment::of(variables);
        self
    }

    /// The endpoint of `service`, with its settings. What the environment says comes first, then the
    /// service's own table, then `[defaults]`. A token that the endpoint itself names wins over the
    /// key `token-file`.
    ///
    /// # Errors
    /// When there is no such service, or no endpoint of it, or when the environment or the endpoint
    /// says something that is not right.
    pub fn endpoint(&self, service: &str) -> Result<Endpoint, ConfigError> {
        let from_environment = self.environment.service(service, self.services())?;
        let table = self.file.as_ref().and_then(|file| file.service(service));
        if table.is_none() && !from_environment.iter().any(|given| given.key.is_endpoint()) {
            return Err(self.no_such_service(service));
        }
        let defaults = self.file.as_ref().map(File::defaults);
        let given: Vec<&Given> = defaults
            .into_iter()
            .chain(table)
            .flat_map(Table::entries)
            .chain(&from_environment)
            .collect();
        resolve(&given).unwrap_or_else(|| Err(self.no_endpoint(service, table)))
    }

    /// The names of the services in the file, in alphabetical order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.file.iter().flat_map(File::services)
    }

    fn no_such_service(&self, service: &str) -> ConfigError {
        let variable = environment::variable(service, "endpoint");
        let Some(file) = &self.file else {
            let problem = format!("the service `{service}` is not configured: set {variable}");
            return ConfigError::new(Place::Nowhere, problem);
        };
        let hint = ipcall_transports::suggest::hint(service, self.services());
        let known: Vec<_> = self.services().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let problem = format!(
            "there is no [service.{service}]{hint} (it has: {known}); add it, or set {variable}"
        );
        ConfigError::new(Place::File(Arc::clone(file.name())), problem)
    }

    fn no_endpoint(&self, service: &str, table: Option<&Table>) -> ConfigError {
        let variable = environment::variable(service, "endpoint");
        let place = table.map_or(Place::Nowhere, |table| table.place.clone());
        let problem = format!(
            "[service.{service}] has no endpoint: add for example endpoint = \
             \"unix:/run/user/1000/{service}/socket\", or set {variable}"
        );
        ConfigError::new(place, problem)
    }
}

/// The endpoint that is given last, with all that is given applied in order; `None` if none is given.
fn resolve(given: &[&Given]) -> Option<Result<Endpoint, ConfigError>> {
    let place = given.iter().rev().find(|given| given.key.is_endpoint())?;
    Some(place.text().and_then(|uri| {
        let endpoint = Endpoint::parse(uri).map_err(|error| place.wrong_because(error))?;
        let mut settings = endpoint.settings().clone();
        for given in given {
            apply(given, &mut settings)?;
        }
        if let Some(file) = given.iter().rev().find(|given| given.key.is_token_file())
            && settings.token.is_none()
        {
            let token = read_token_file(Path::new(file.text()?));
            settings.token = Some(token.map_err(|error| file.wrong_because(error))?);
        }
        Ok(endpoint.with_settings(settings))
    }))
}

fn apply(given: &Given, settings: &mut Settings) -> Result<(), ConfigError> {
    match given.key.effect {
        Effect::Setting(set) => set(settings, &given.value).map_err(|problem| given.wrong(problem)),
        Effect::Endpoint | Effect::TokenFile => Ok(()),
    }
}
