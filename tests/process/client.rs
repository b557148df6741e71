//! The client's process.

use ipcall::Endpoint;

use crate::service::{PostBlockingClient, PostClient};
use crate::support::role::Control;
use crate::support::serving::run;

/// Connects to the endpoint in `about`, behind the word that says how, and does as it is told.
pub(crate) fn call(about: &str, mut control: Control) {
    let (how, uri) = about.split_once(' ').unwrap();
    let endpoint = Endpoint::parse(uri).unwrap();
    match how {
        "blocking" => {
            let client = PostBlockingClient::connect(&endpoint).unwrap();
            control.say("connected");
            assert_eq!(control.hear().as_deref(), Some("call"));
            let _ = client.never();
        }
        "async" => run(async {
            let client = PostClient::connect(&endpoint).await.unwrap();
            control.say("connected");
            assert_eq!(control.hear().as_deref(), Some("call"));
            let _ = client.never().await;
        }),
        other => panic!("nobody has written what `{other}` means"),
    }
}
