//! The client's process.

use ipcall::Endpoint;

use crate::service::{PostBlockingClient, PostClient};
use crate::support::role::Control;
use crate::support::serving::run;

/// More than any transport takes without a reader, in bytes.
const LARGE: u64 = 32 << 20;

/// Connects to the endpoint in `about`, behind the word that says how, and does as it is told.
pub(crate) fn call(about: &str, mut control: Control) {
    let (how, uri) = about.split_once(' ').unwrap();
    let endpoint = Endpoint::parse(uri).unwrap();
    if how.starts_with("blocking") {
        let client = PostBlockingClient::connect(&endpoint).unwrap();
        wait_to_call(&mut control);
        match how.ends_with("large") {
            true => drop(client.produce(LARGE)),
            false => drop(client.never()),
        }
    } else {
        run(async {
            let client = PostClient::connect(&endpoint).await.unwrap();
            wait_to_call(&mut control);
            match how.ends_with("large") {
                true => drop(client.produce(LARGE).await),
                false => drop(client.never().await),
            }
        });
    }
    // To be killed in the middle of the call or, where that has ended, here.
    control.hear();
}

fn wait_to_call(control: &mut Control) {
    control.say("connected");
    assert_eq!(control.hear().as_deref(), Some("call"));
}
