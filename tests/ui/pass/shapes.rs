//! Every shape of argument and result.
#![deny(warnings)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipcall::{Context, ipc_service};
use serde::{Deserialize, Serialize};

/// Neither `Clone` nor `Send` in its references.
#[derive(Serialize, Deserialize)]
pub struct Point(std::cell::Cell<u8>);

#[derive(Serialize, Deserialize)]
pub struct Borrowing<'a>(&'a str);

#[ipc_service]
pub trait Shapes {
    async fn text(
        &self,
        a: &str,
        b: Option<&str>,
        c: Vec<&str>,
        d: Cow<'_, str>,
        e: Cow<'static, str>,
    );
    async fn bytes(
        &self,
        a: &[u8],
        b: Option<&[u8]>,
        c: Vec<u8>,
        d: Option<Vec<u8>>,
        e: Cow<'_, [u8]>,
    );
    async fn paths(&self, a: &Path, b: &std::path::Path, c: Option<&Path>, d: PathBuf, e: &PathBuf);
    fn references(
        &self,
        a: &Point,
        b: &[Point],
        c: Option<&Point>,
        d: Option<&[Point]>,
        e: &[Point; 2],
    );
    async fn nested(
        &self,
        a: &Vec<u8>,
        b: &&str,
        c: &(u8, String),
        d: &[&str],
        e: HashMap<&str, &[u8]>,
    );
    async fn borrowing(&self, a: Borrowing<'_>, b: Vec<Borrowing<'_>>, c: &Borrowing<'_>);
    #[allow(
        unused_parens,
        reason = "a type may stand in parentheses, or come from a macro in a group"
    )]
    async fn parenthesized(&self, a: &(str), b: (&[u8]), c: (Vec<u8>)) -> (Vec<u8>);
    async fn with_context(&self, cx: &Context, a: u8) -> std::result::Result<(), String>;
    async fn unnamed_context(&self, _: &ipcall::Context);
    async fn results(&self) -> Result<Option<Vec<u8>>, Point>;
    async fn nested_result(&self) -> Vec<Result<u8, u8>>;
    async fn borrowed_for_ever(&self) -> Cow<'static, str>;
    async fn sixteen(
        &self,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
        m: u8,
        n: u8,
        o: u8,
        p: u8,
    );
}

/// All plain, so it can be a trait object.
#[ipc_service]
pub trait Plain {
    fn method(&self) -> u8;
}

#[ipc_service]
pub trait Empty {}

fn main() {
    let _ = |service: Arc<dyn Plain>| PlainServer::from_arc(service);
    let _ = |service: Arc<dyn Empty>| EmptyServer::from_arc(service).clone();
}
