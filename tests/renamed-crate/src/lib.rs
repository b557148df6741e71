//! A crate that knows `ipcall` as `rpc`: `#[ipc_service]` finds it by the manifest.
#![deny(warnings)]

/// Says what it is told.
#[rpc::ipc_service]
pub trait Echo {
    /// `text`, unless it is empty.
    async fn echo(&self, cx: &rpc::Context, text: &str) -> Result<Vec<u8>, String>;
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rpc::transport::Binder;
    use rpc::{CallError, Context, Endpoint, Server};

    use super::{Echo, EchoBlockingClient, EchoServer};

    struct Parrot;

    impl Echo for Parrot {
        async fn echo(&self, _: &Context, text: &str) -> Result<Vec<u8>, String> {
            if text.is_empty() { Err("nothing".to_owned()) } else { Ok(text.into()) }
        }
    }

    #[test]
    fn the_generated_code_works_under_another_name() {
        let endpoint = Endpoint::parse("mem:renamed-crate").expect("it is a mem: URI");
        let server = Server::new().add_service(EchoServer::new(Parrot));
        let bound = server.bind([&endpoint as &dyn Binder]).expect("the name is its own");
        let shutdown = bound.shutdown_handle();
        let serving = thread::spawn(move || bound.serve_blocking());

        let client = EchoBlockingClient::connect(&endpoint).expect("the server is up");
        assert_eq!(client.echo("a"), Ok(b"a".to_vec()));
        assert_eq!(client.echo(""), Err(CallError::Method("nothing".to_owned())));

        drop(client);
        shutdown.shutdown();
        serving.join().expect("it does not panic").expect("the endpoint works to the end");
    }
}
