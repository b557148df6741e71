//! The `#[ipc_service]` attribute of `ipcall`.
//!
//! `parse` holds every rule, every message and every span, and makes a `model` of the trait; `expand`
//! prints the trait and the glue around it. The runtime behind the glue is `ipcall::__rt`: nothing is
//! decided here.
//!
//! ```text
//! attribute, trait -> parse { options, method, parameters, types }
//!                  -> model
//!                  -> expand { definition, descriptor, server, client }
//! ```

#![forbid(unsafe_code)]

mod crate_path;
mod errors;
mod expand;
#[cfg(test)]
mod golden;
mod model;
mod parse;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Path;

use crate::errors::Errors;

/// Makes a service of a trait: a server for its implementations, and two clients.
///
/// ```ignore
/// #[ipc_service]
/// pub trait WordCount {
///     /// Counts the whitespace-separated words of `text`.
///     async fn count(&self, text: &str) -> u64;
/// }
/// ```
///
/// For `trait WordCount` there are then, of the same visibility:
///
/// - the trait itself, with the supertraits `Send + Sync + 'static`. Implementations write `async fn`
///   as it does; their futures must be `Send`;
/// - `WordCountServer<T>`: `new(T)` or `from_arc(Arc<T>)`, for a server to offer;
/// - `WordCountClient`: `connect(&endpoint).await`, then the methods of the trait, as `async fn`s;
/// - `WordCountBlockingClient`: the same without `async`.
///
/// A client's method returns `Result<T, CallError>`, and `Result<T, CallError<E>>` where the trait's
/// returns `Result<T, E>`.
///
/// # Options of the trait
///
/// - `#[ipc_service(name = "org.example.WordCount")]`: the name by which client and server agree on
///   the service; that of the trait by default.
/// - `#[ipc_service(crate = "path::to::ipcall")]`: where `ipcall` is, if it is not a dependency of the
///   crate itself. A renamed dependency is found.
///
/// # Methods
///
/// - `async fn`: a task, polled first where its request was read.
/// - `fn`: on the blocking pool.
/// - `#[ipc(inline)] fn`: where its request was read, for what takes less time than a hand-over.
/// - `#[ipc(oneway)]`: there is no reply, and so no result; the client does not wait.
/// - `#[ipc(idempotent)]`: a call may be repeated without harm.
/// - `#[ipc(no_cancel)]`: once begun it runs to its end, whatever becomes of its caller and of its deadline; it
///   may ask its `Context` and end by itself.
/// - `#[ipc(deadline = "5s")]`: the deadline of a call that has no other. Units are `ns`, `us`, `ms`,
///   `s` and `m`; fractions are allowed.
///
/// Default bodies, documentation, `#[cfg]` and `#[deprecated]` are carried over; a method that `#[cfg]`
/// removes is gone from the clients and the server too.
///
/// # Arguments and results
///
/// Whatever serde can send, up to 16 arguments, which the clients take as the trait does. Types are
/// recognised by how they are written:
///
/// - `&str`, `&[u8]`, `Option<&str>`, `Vec<&str>`, `Cow<'_, str>`, `&Path` and types of yours that
///   borrow point into the received request: nothing is copied.
/// - `&T`, `&[T]` and `Option<&T>` of any other `T`: the server decodes it, and lends it.
/// - `Vec<u8>` and `&[u8]`, in an `Option` or not, travel as one block, as results too.
/// - A first parameter `cx: &Context` is not sent: it tells the handler about its call.
/// - A result is owned: `T`, `Result<T, E>`, or nothing.
///
/// # Streams
///
/// - A result `impl Stream<Item = T>`, of a plain or `async fn`: the handler returns any stream that is `Send`, and the
///   client's method an `ItemStream<T>`, which is a stream of `Result<T, CallError>`; the blocking client's an
///   iterator, `Items<T>`. Where the items are `Result<T, E>`, the first error ends the stream, and is the client's
///   `CallError<E>`.
/// - An argument `impl Stream<Item = T>`: the client passes any stream, the blocking client anything that can be
///   iterated. In the trait the argument is an `Incoming<T>`, which is what implementations write and get: a
///   stream of `Result<T, RpcError>`, or by `blocking()` an iterator.
/// - Both in one method are a dialogue. What is passed is then `Send + 'static`.
///
/// # Errors
///
/// Generics, lifetimes, associated items, receivers other than `&self`, patterns, other `impl Trait`, `dyn
/// Trait`, and what else two processes cannot agree on, are errors that say what to write instead. All
/// of a trait's are reported at once.
#[proc_macro_attribute]
pub fn ipc_service(
    attribute: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    service(attribute.into(), item.into(), crate_path::find).into()
}

/// The expansion, apart from where `ipcall` is: that depends on the crate being compiled.
///
/// Whatever is wrong, the trait is emitted, and the types beside it as far as they make sense: their
/// users then have no errors that are not their own.
fn service(
    attribute: TokenStream,
    item: TokenStream,
    find_root: impl FnOnce() -> Result<Path, String>,
) -> TokenStream {
    let mut errors = Errors::default();
    let options = parse::ServiceOptions::parse(attribute, &mut errors);
    let item = match parse::item(item.clone()) {
        Ok(item) => item,
        Err(error) => {
            errors.push(error);
            let errors = errors.into_compile_errors();
            return quote!(#errors #item);
        }
    };
    let model = parse::service(&item, options.name, &mut errors);
    let root = options.root.map_or_else(find_root, Ok);
    let root = root.map_err(|message| errors.at_span(Span::call_site(), message)).ok();
    let definition = expand::definition(&item, root.as_ref());
    let glue = root.map(|root| expand::glue(&model, &root));
    let errors = errors.into_compile_errors();
    quote!(#errors #definition #glue)
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::service;

    #[test]
    fn without_ipcall_there_is_one_error_and_the_trait() {
        let item = quote!(
            pub trait Foo {
                async fn method(&self);
            }
        );
        let expanded = service(quote!(), item, || Err("`ipcall` is missing".to_owned()));
        let file: syn::File = syn::parse2(expanded).expect("a list of items");
        let [syn::Item::Macro(error), syn::Item::Trait(item)] = &file.items[..] else {
            panic!("{} items", file.items.len());
        };
        assert!(error.mac.tokens.to_string().contains("`ipcall` is missing"));
        assert_eq!(item.ident, "Foo");
    }

    #[test]
    fn a_path_in_the_attribute_is_not_searched_for() {
        let attribute = quote!(crate = "framework::rpc");
        let expanded = service(
            attribute,
            quote!(
                trait Foo {}
            ),
            || panic!("searched"),
        );
        assert!(expanded.to_string().contains("framework :: rpc :: __rt :: Stub"));
    }
}
