use std::sync::Arc;

use ipcall::ipc_service;

#[ipc_service]
pub trait Receivers {
    async fn none();
    fn none_but_an_argument(text: &str);
    async fn by_value(self);
    async fn mutable(&mut self);
    fn shared(self: Arc<Self>);
    fn typed(self: &Self);
    fn living(&'static self);
    fn attributed(#[allow(unused)] &self);
}

fn main() {}
