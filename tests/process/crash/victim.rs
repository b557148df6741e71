//! The process that is killed: a server or a client that goes on until its fuse burns.

use std::sync::Arc;

use ipcall::{Endpoint, Server};
use serde::{Deserialize, Serialize};

use super::fuse::{Fuse, Mined, Point};
use crate::service::{Office, PostBlockingClient, PostClient, PostServer};
use crate::support::Waits;
use crate::support::role::{Control, Process};
use crate::support::serving::run;

/// Who is killed, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    Server,
    Client,
}

/// What a victim is told when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fate {
    pub(crate) uri: String,
    pub(crate) side: Side,
    /// In plain threads, or else in a single-threaded runtime.
    pub(crate) threads: bool,
    pub(crate) point: Point,
    /// How often it passes the point unharmed before.
    pub(crate) spared: u32,
}

impl Fate {
    /// Starts the process, which is then ready.
    pub(crate) fn meet(&self) -> Process {
        let mut process = Process::start("victim", &serde_json::to_string(self).unwrap());
        assert_eq!(process.hear(), "ready");
        process
    }
}

/// Connections of a client after which its point should have come; or what is called on its only one, so many
/// times.
pub(super) const MANY: usize = 50;

/// What it says when it has not: whether a client has to sleep is a matter of luck.
pub(super) const SPARED: &str = "spared";

pub(crate) fn live(fate: &str, mut control: Control) {
    let fate: Fate = serde_json::from_str(fate).unwrap();
    let fuse = Fuse::new(fate.point, fate.spared, control.writer());
    let mined = Mined { endpoint: Endpoint::parse(&fate.uri).unwrap(), fuse: Arc::clone(&fuse) };
    if fate.side == Side::Server {
        return serve(&mined, fate.threads, control);
    }
    control.say("ready");
    let only_one = mined.endpoint.scheme().starts_server;
    let (connections, times) = if only_one { (1, MANY) } else { (MANY, 1) };
    for _ in 0..connections {
        match fate.threads {
            true => call_blocking(&mined, times),
            false => run(call(&mined, times)),
        }
    }
    control.say(SPARED);
}

fn serve(mined: &Mined, threads: bool, mut control: Control) {
    let office = Office::new(control.writer()).with_fuse(Arc::clone(&mined.fuse));
    let server = Server::new().add_service(PostServer::new(office));
    let bound = server.bind([mined as _]).unwrap();
    control.say("ready");
    let waits = if threads { Waits::Threads } else { Waits::CurrentThread };
    // Until the fuse has burnt.
    waits.serve(bound).unwrap();
}

/// One connection, with calls of several sizes.
fn call_blocking(mined: &Mined, times: usize) {
    let client = PostBlockingClient::connect(mined).unwrap();
    for length in [SIZES].iter().cycle().take(times).flatten().copied() {
        assert_eq!(client.add(1, 1).unwrap(), 2);
        assert_eq!(client.echo(vec![7; length]).unwrap().len(), length);
        mined.fuse.pass(Point::Working);
    }
}

async fn call(mined: &Mined, times: usize) {
    let client = PostClient::connect(mined).await.unwrap();
    for length in [SIZES].iter().cycle().take(times).flatten().copied() {
        assert_eq!(client.add(1, 1).await.unwrap(), 2);
        assert_eq!(client.echo(vec![7; length]).await.unwrap().len(), length);
        mined.fuse.pass(Point::Working);
    }
    drop(client);
    // What closes the connection runs by itself.
    tokio::task::yield_now().await;
}

/// Bytes of the echoes of one connection: a frame, and fragments.
pub(crate) const SIZES: [usize; 3] = [0, 1_000, 300_000];
