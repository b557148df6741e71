//! A crate that denies every warning says nothing about generated code.
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications
)]
#![deny(rust_2018_idioms, single_use_lifetimes, unnameable_types, unused_lifetimes, unused_results)]
#![forbid(unsafe_code, non_snake_case, unused_variables, private_interfaces)]

use ipcall::{Context, ipc_service};

/// A service with documented methods.
#[ipc_service]
pub trait Documented {
    /// Takes one of each shape.
    async fn shapes(
        &self,
        _cx: &Context,
        _text: &str,
        bytes: &[u8],
        owned: Vec<u8>,
    ) -> Result<String, String>;

    /// Has a body that ignores its argument.
    async fn body(&self, _text: &str) {}

    /// Runs on the blocking pool.
    #[must_use]
    fn blocking(&self, numbers: &[u32]) -> u32;

    /// Allows what its name needs.
    #[allow(dead_code, reason = "repeated on the clients")]
    #[ipc(inline)]
    fn inline(&self);
}

/// Private, and without a server in this crate.
#[ipc_service]
trait Private {
    async fn undocumented(&self, hidden: Hidden);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Hidden;

mod inner {
    #[ipcall::ipc_service]
    pub(crate) trait Restricted {
        fn method(&self);
    }
}

fn main() {
    let _ = PrivateClient::from_client;
    let _ = inner::RestrictedBlockingClient::from_client;
}
