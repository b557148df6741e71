use std::borrow::Cow;

use ipcall::ipc_service;

#[ipc_service]
pub trait Types {
    async fn some(&self, items: impl Iterator<Item = u8>);
    async fn dynamic(&self, item: Box<dyn std::fmt::Debug + Send>, other: &dyn ToString);
    async fn mutable(&self, buffer: &mut [u8], nested: Option<&mut u8>);
    async fn unsized_types(&self, text: str, items: [u8]);
    async fn pointers(&self, pointer: *const u8, function: fn(u8) -> u8);
    async fn itself(&self, item: Self, boxed: Option<Box<Self>>);
    async fn for_ever(&self, text: &'static str, borrowed: Cow<'static, str>);
}

fn main() {}
