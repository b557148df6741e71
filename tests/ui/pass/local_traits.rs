//! A service trait in a function, in a nested module, and from `macro_rules!`.
#![deny(warnings)]

mod outer {
    pub mod inner {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(in crate::outer) struct Item;

        #[ipcall::ipc_service]
        pub(in crate::outer) trait Nested {
            async fn put(&self, item: Item, parent: super::Parent) -> self::Item;
        }
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(crate) struct Parent;

    pub(crate) fn uses() {
        let _ = inner::NestedClient::from_client;
    }
}

macro_rules! service {
    ($name:ident, $method:ident, $argument:ty, $result:ty) => {
        #[ipcall::ipc_service]
        pub trait $name {
            async fn $method(&self, argument: $argument) -> $result;
            async fn fixed(&self, bytes: &$result, items: &[$result]) -> Result<$result, $result>;
            async fn body(&self, argument: $argument) -> usize {
                let argument = argument;
                argument.len()
            }
        }
    };
}

service!(Made, measure, Vec<u8>, Vec<u8>);
service!(Borrowed, measure, &str, String);

fn main() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Item;

    #[ipcall::ipc_service]
    trait Local {
        async fn put(&self, item: Item, borrowed: &Item) -> Item;
    }

    struct Server;

    impl Local for Server {
        async fn put(&self, item: Item, _: &Item) -> Item {
            item
        }
    }

    outer::uses();
    let _ = LocalServer::new(Server);
    let _ = LocalClient::put;
    let _ = (MadeClient::measure, BorrowedBlockingClient::measure);
}
