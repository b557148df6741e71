use ipcall::{Stream, ipc_service};

#[ipc_service]
pub trait Streams {
    async fn two(&self, a: impl Stream<Item = u8>, b: impl Stream<Item = u8>);
    fn borrowed(&self) -> impl Stream<Item = &str>;
    fn argument(&self, items: impl Stream<Item = &'static str>);
    fn nested(&self) -> Vec<impl Stream<Item = u8>>;
    fn without_item(&self) -> impl Stream;
    fn with_more(&self) -> impl Stream<Item = u8> + Send;
    #[ipc(inline)]
    fn inline(&self) -> impl Stream<Item = u8>;
    #[ipc(oneway)]
    fn oneway(&self, items: impl Stream<Item = u8>);
    #[ipc(no_cancel)]
    fn no_cancel(&self) -> impl Stream<Item = u8>;
    fn alias(&self) -> impl Stream<Item = std::io::Result<u8>>;
}

fn main() {}
