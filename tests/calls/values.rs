//! Values that do not survive the way: which side says so, and of which call.

use ipcall::{ErrorKind, Outcome, RpcError, ipc_service};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::serving::run;
use crate::support::{Serving, Waits, assert_kind, over_every_scheme, rpc_error};

/// A number that cannot be written when it is 13, and not be read when it is 17.
#[derive(Debug, PartialEq)]
pub(crate) struct Picky(u32);

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            13 => Err(serde::ser::Error::custom("thirteen brings bad luck")),
            number => number.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            17 => Err(serde::de::Error::custom("seventeen is not liked here")),
            number => Ok(Self(number)),
        }
    }
}

#[ipc_service]
pub(crate) trait Values {
    async fn take(&self, value: Picky) -> u32;
    async fn give(&self, number: u32) -> Picky;
    async fn give_or_not(&self, number: u32) -> Result<u32, Picky>;
    #[ipc(oneway)]
    async fn drop_off(&self, value: Picky);
}

struct Shelf;

impl Values for Shelf {
    async fn take(&self, value: Picky) -> u32 {
        value.0
    }

    async fn give(&self, number: u32) -> Picky {
        Picky(number)
    }

    async fn give_or_not(&self, number: u32) -> Result<u32, Picky> {
        Err(Picky(number))
    }

    async fn drop_off(&self, value: Picky) {
        assert_ne!(value.0, 17, "it could be read");
    }
}

#[track_caller]
fn assert_codec(error: &RpcError, outcome: Outcome, texts: [&str; 2]) {
    assert_kind!(error, ErrorKind::Codec { reason }
        if texts.iter().all(|text| reason.contains(text)));
    assert_eq!(error.outcome(), outcome);
}

const UNLUCKY: &str = "thirteen brings bad luck";
const DISLIKED: &str = "seventeen is not liked here";

macro_rules! values {
    ($client:ident $(, $wait:ident)?) => {
        let error = rpc_error($client.take(Picky(13))$(.$wait)?);
        assert_codec(&error, Outcome::NotExecuted, ["the arguments", UNLUCKY]);
        let error = rpc_error($client.take(Picky(17))$(.$wait)?);
        assert_codec(&error, Outcome::NotExecuted, ["the arguments", DISLIKED]);
        let error = rpc_error($client.give(13)$(.$wait)?);
        assert_codec(&error, Outcome::Executed, ["the result", UNLUCKY]);
        let error = rpc_error($client.give(17)$(.$wait)?);
        assert_codec(&error, Outcome::Executed, ["the result", DISLIKED]);
        let error = rpc_error($client.give_or_not(13)$(.$wait)?);
        assert_codec(&error, Outcome::Executed, ["the result", UNLUCKY]);
        let error = rpc_error($client.give_or_not(17)$(.$wait)?);
        assert_codec(&error, Outcome::Executed, ["the result", DISLIKED]);
        let error = rpc_error($client.drop_off(Picky(13))$(.$wait)?);
        assert_codec(&error, Outcome::NotExecuted, ["the arguments", UNLUCKY]);
        $client.drop_off(Picky(17))$(.$wait)?.unwrap();
        assert_eq!($client.take(Picky(1))$(.$wait)?.unwrap(), 1, "the connection goes on");
        assert_eq!($client.give(2)$(.$wait)?.unwrap(), Picky(2));
    };
}

#[test]
fn a_value_that_does_not_survive_fails_its_call_only() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint = subject.endpoint();
            let server = ipcall::Server::new().add_service(ValuesServer::new(Shelf));
            let serving = Serving::start(waits, server, &endpoint);
            let client = ValuesBlockingClient::connect(&endpoint).unwrap();
            values!(client);
            run(async {
                let client = ValuesClient::connect(&endpoint).await.unwrap();
                values!(client, await);
            });
            assert_eq!((serving.stats().violations(), serving.stats().panics()), (0, 0));
        }
    });
}
