use ipcall::ipc_service;

#[ipc_service]
pub trait Typed<T> {
    async fn put(&self, item: T);
}

#[ipc_service]
pub trait Living<'a> {
    async fn put(&self, item: &'a str);
}

#[ipc_service]
pub trait Sized<const N: usize>
where
    Self: Clone,
{
    async fn put(&self, item: [u8; N]);
}

struct Server;

impl Typed<u8> for Server {
    async fn put(&self, _: u8) {}
}

fn main() {
    let _ = TypedServer::new(Server);
    let _ = TypedClient::from_client;
}
