//! Where the two word-count processes find each other.

use std::path::Path;

use ipcall::{Config, Endpoint};

/// The configuration that is read when none is named.
pub(crate) const DEFAULT: &str = "examples/wordcount.toml";

/// The name under which the service stands in the configuration.
const SERVICE: &str = "wordcount";

/// The endpoint of the service, as the file and the environment say.
///
/// # Errors
/// What is wrong, where, and what would be right.
pub(crate) fn endpoint(config: &Path) -> Result<Endpoint, String> {
    let located = Config::load(config).and_then(|config| config.endpoint(SERVICE));
    let endpoint = located.map_err(|error| error.to_string())?;
    if endpoint.scheme().in_process {
        return Err(format!(
            "{endpoint}: the two are separate processes, and {} endpoints do not leave theirs: choose \
             another, for example unix:/run/user/1000/wordcount/socket",
            endpoint.scheme().name
        ));
    }
    Ok(endpoint)
}
