//! Where the two processes of a pair find each other.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use ipcall::{Config, Endpoint, ErrorKind, RpcError};

/// Where a pair is configured.
pub(crate) struct Location {
    /// The name under which the service stands in the configuration.
    pub(crate) service: &'static str,
    /// The configuration that is read when nothing else is said.
    pub(crate) default: &'static str,
}

pub(crate) const WORDCOUNT: Location =
    Location { service: "wordcount", default: "examples/wordcount.toml" };

pub(crate) const SEARCH: Location = Location { service: "search", default: "examples/search.toml" };

impl Location {
    /// The endpoint of the service: `uri` if it is given, and otherwise what the environment and the file
    /// say. They have the other settings, too; with `uri` there need not be a file.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub(crate) fn endpoint(
        &self,
        config: Option<&Path>,
        uri: Option<&str>,
    ) -> Result<Endpoint, String> {
        let loaded = match (config, uri) {
            (None, Some(_)) => Ok(Config::from_env()),
            (config, _) => Config::load(config.unwrap_or(Path::new(self.default))),
        };
        // The last word is that of the command line, in the place of the environment's.
        let said = uri.map(|uri| (OsString::from(self.variable()), OsString::from(uri)));
        let located = loaded.and_then(|config| {
            config.with_environment(env::vars_os().chain(said)).endpoint(self.service)
        });
        let endpoint = located.map_err(|error| error.to_string())?;
        if endpoint.scheme().in_process {
            return Err(format!(
                "{endpoint}: the two are separate processes, and {} endpoints do not leave theirs: choose \
                 another, for example unix:/run/user/1000/{}/socket",
                endpoint.scheme().name,
                self.service,
            ));
        }
        Ok(endpoint)
    }

    /// What to do about an error, if it is that there is no server and nobody but the user can start one.
    pub(crate) fn hint(
        &self,
        error: &RpcError,
        endpoint: &Endpoint,
        config: Option<&Path>,
        uri: Option<&str>,
    ) -> Option<String> {
        let is_absent = matches!(error.kind(), ErrorKind::ServerAbsent { .. });
        if !is_absent || endpoint.scheme().starts_server {
            return None;
        }
        let location = match uri {
            Some(uri) => format!("--endpoint {uri}"),
            None => format!("--config {}", config.unwrap_or(Path::new(self.default)).display()),
        };
        let example = format!("{}_server", self.service);
        Some(format!("start the server first: cargo run --example {example} -- {location}"))
    }

    fn variable(&self) -> String {
        format!("IPCALL_{}_ENDPOINT", self.service.to_uppercase())
    }
}
