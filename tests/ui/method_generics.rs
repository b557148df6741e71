use ipcall::ipc_service;

#[ipc_service]
pub trait Generics {
    async fn typed<T>(&self, item: T) -> T;
    async fn living<'a>(&'a self, text: &'a str);
    async fn sized<const N: usize>(&self, bytes: [u8; N]);
    async fn bounded(&self)
    where
        Self: Clone;
}

fn main() {}
