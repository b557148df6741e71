//! Bodies of `async fn`: borrowed arguments, `self`, `?`, `return`, inference from the result.
#![deny(warnings)]

use std::collections::BTreeMap;

use ipcall::{Context, ipc_service};

#[ipc_service]
pub trait Defaults: std::fmt::Debug {
    async fn required(&self, text: &str) -> String;

    async fn nothing(&self) {}

    async fn unit(&self, text: &str) -> () {
        self.required(text).await;
    }

    async fn inferred(&self, words: &str) -> BTreeMap<String, usize> {
        words.split(' ').map(|word| (word.into(), word.len())).collect()
    }

    async fn early(&self, cx: &Context, text: &str, limit: u32) -> Result<u32, String> {
        let _ = cx;
        if text.is_empty() {
            return Err("empty".into());
        }
        let number = text.parse().map_err(|_| self.name())?;
        if number > limit { Err("too large".into()) } else { Ok(number) }
    }

    async fn owned(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        Some(bytes)
    }

    async fn never_ready(&self) -> u8 {
        std::future::pending().await
    }

    async fn panics(&self) -> u8 {
        unimplemented!("left to implementors")
    }

    fn name(&self) -> String {
        format!("{self:?}")
    }

    #[ipc(inline)]
    fn length(&self, bytes: &[u8]) -> usize {
        bytes.len()
    }
}

#[derive(Debug)]
struct Server;

impl Defaults for Server {
    async fn required(&self, text: &str) -> String {
        text.to_owned()
    }

    async fn owned(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let held = std::sync::Arc::new(bytes);
        self.required("").await;
        Some(held.to_vec())
    }
}

fn main() {
    let _ = DefaultsServer::new(Server);
}
