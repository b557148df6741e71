use std::borrow::Cow;

use ipcall::ipc_service;

#[ipc_service]
pub trait Types {
    async fn borrowed(&self) -> &str;
    async fn nested(&self) -> Option<&[u8]>;
    async fn fallible(&self) -> Result<&'static str, &'static str>;
    async fn living(&self) -> Cow<'_, str>;
    fn stream(&self) -> impl Iterator<Item = u8>;
    async fn dynamic(&self) -> Box<dyn std::error::Error>;
    async fn pointer(&self) -> *const u8;
    async fn itself(&self) -> Option<Box<Self>>;
    fn never(&self) -> !;
    async fn text(&self) -> str;
    async fn items(&self) -> [u8];
}

fn main() {}
