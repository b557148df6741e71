//! Nothing in the user's scope takes the place of what the generated code means.
#![deny(warnings)]
#![allow(dead_code, non_upper_case_globals, reason = "the names are there to be in the way")]

mod hostile {
    mod std {}
    mod core {}
    mod alloc {}
    mod ipcall {}
    mod serde {}

    struct Arc;
    struct Box;
    struct Client;
    struct Clone;
    struct Debug;
    struct Future;
    struct Into;
    struct OnceLock;
    struct Option;
    struct Result;
    struct Send;
    struct Service;
    struct Sized;
    struct String;
    struct Sync;
    struct T;
    struct Vec;
    const Err: u8 = 0;
    const None: u8 = 0;
    const Ok: u8 = 0;
    const Some: u8 = 0;
    fn __ipcall_descriptor() {}

    type Text = ::std::string::String;
    type Number = u32;

    #[::ipcall::ipc_service]
    pub(super) trait Hostile {
        async fn text(&self, text: &str) -> Text;
        async fn bytes(&self, bytes: ::std::vec::Vec<u8>) -> ::std::vec::Vec<u8>;
        async fn maybe(
            &self,
            bytes: ::core::option::Option<&[Number]>,
        ) -> ::core::option::Option<::std::vec::Vec<u8>>;
        fn fallible(&self) -> ::core::result::Result<::std::vec::Vec<u8>, Text>;
        #[ipc(inline)]
        fn nothing(&self);
        #[ipc(oneway)]
        async fn oneway(
            &self,
            request: u8,
            service: u8,
            method: u8,
            value: u8,
            error: u8,
            call: u8,
            stub: u8,
        );
    }
}

fn main() {
    let _ = hostile::HostileClient::from_client;
    let _ = hostile::HostileBlockingClient::from_client;
}
