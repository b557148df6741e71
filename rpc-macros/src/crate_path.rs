//! Where the generated code finds `ipcall`, which the user's `Cargo.toml` may call by another name.

use proc_macro_crate::{Error, FoundCrate, crate_name};
use proc_macro2::Span;
use syn::{Ident, Path, parse_quote};

/// The path of `ipcall` in the crate being compiled, or what to tell its author.
///
/// Inside `ipcall` itself, its tests and its examples the name is `ipcall`: the library has `extern
/// crate self`. Build systems that tell no manifest get the same, as they can name the crate with
/// `crate = ".."`.
pub(crate) fn find() -> Result<Path, String> {
    match crate_name("ipcall") {
        Ok(FoundCrate::Name(name)) => {
            let name = Ident::new(&name, Span::call_site());
            Ok(parse_quote!(::#name))
        }
        Ok(FoundCrate::Itself) | Err(Error::CargoManifestDirNotSet) => Ok(parse_quote!(::ipcall)),
        Err(error) => Err(message(&error)),
    }
}

fn message(error: &Error) -> String {
    let cause = match error {
        Error::CrateNotFound { path, .. } => {
            format!("`ipcall` is not a dependency in {}", path.display())
        }
        other => format!("`ipcall` was not found: {other}"),
    };
    format!(
        "{cause}: add it (`cargo add ipcall`), or write `#[ipc_service(crate = \
         \"path::to::ipcall\")]`"
    )
}
