//! What the behaviour tests have in common: a watchdog, fresh endpoints of every transport, servers in
//! this process and in others, and a peer that speaks raw bytes.
//!
//! Included by each test target; none uses all of it.
#![allow(dead_code, unused_imports, unused_macros, reason = "each target uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod frame;
pub(crate) mod holdings;
pub(crate) mod quota;
pub(crate) mod random;
pub(crate) mod raw;
pub(crate) mod role;
pub(crate) mod scratch;
pub(crate) mod serving;
pub(crate) mod subject;
pub(crate) mod system_v;
pub(crate) mod waiting;
pub(crate) mod watchdog;

pub(crate) use serving::{Serving, Waits};
pub(crate) use subject::{Subject, over_every_scheme};
pub(crate) use watchdog::Watchdog;

use ipcall::{CallError, ErrorKind, RpcError};

/// The framework's error in a result that must be one.
#[track_caller]
pub(crate) fn rpc_error<T, E>(result: Result<T, CallError<E>>) -> RpcError
where
    T: std::fmt::Debug,
    E: std::fmt::Debug,
{
    match result {
        Err(CallError::Rpc(error)) => error,
        other => panic!("an error of the framework is wanted, not {other:?}"),
    }
}

/// Checks what kind of error it is, and shows it if it is another.
macro_rules! assert_kind {
    ($error:expr, $kind:pat $(if $guard:expr)?) => {{
        let error = &$error;
        assert!(matches!(error.kind(), $kind $(if $guard)?), "{error:?}");
    }};
}
pub(crate) use assert_kind;

/// Connects until there are `size`, or until a quota of the system is used up.
pub(crate) fn as_many_as_fit<T>(
    size: usize,
    mut connect: impl FnMut() -> Result<T, RpcError>,
) -> Vec<T> {
    let mut all = Vec::new();
    while all.len() < size {
        match connect() {
            Ok(one) => all.push(one),
            Err(error) => {
                assert_kind!(error, ErrorKind::QuotaExceeded { .. });
                break;
            }
        }
    }
    all
}

/// Whether the connection ended because the other side went.
pub(crate) fn is_gone(error: &RpcError) -> bool {
    matches!(error.kind(), ErrorKind::PeerGone { .. })
}
