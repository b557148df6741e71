//! Running the server of a pair.

use std::io::{self, Write};

use ipcall::transport::Binder;
use ipcall::{Endpoint, Server};

use super::say;

/// Serves at `endpoint` until SIGTERM or SIGINT, and says on the standard output when clients can connect.
///
/// # Errors
/// When it cannot serve there.
pub(crate) async fn serve(
    name: &'static str,
    server: Server,
    endpoint: &Endpoint,
) -> Result<(), Box<dyn std::error::Error>> {
    let bound = server
        .drain_on_signals()
        .on_disconnect(move |peer, error| match peer.pid {
            Some(pid) => say(name, format_args!("client {pid}: {error}")),
            None => say(name, format_args!("a client: {error}")),
        })
        .bind([endpoint as &dyn Binder])?;
    if !endpoint.scheme().starts_server {
        // Clients can connect from here on, which is what the line is for.
        writeln!(io::stdout(), "listening at {endpoint}")
            .map_err(|error| format!("writing to the standard output: {error}"))?;
    }
    bound.serve().await?;
    Ok(())
}
