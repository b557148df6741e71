//! A shared secret: right, wrong, missing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ipcall::{Endpoint, ErrorKind, Outcome, RpcError};

use crate::support::serving::run;
use crate::support::subject::with;
use crate::support::waiting::until;
use crate::support::{Serving, Subject, Waits, Watchdog, assert_kind, over_every_scheme};
use crate::workshop::{State, WorkshopBlockingClient, WorkshopClient};

#[track_caller]
fn assert_refused(error: &RpcError) {
    assert_kind!(error, ErrorKind::Refused { reason } if reason.contains("token"));
    assert_eq!(error.outcome(), Outcome::NotExecuted);
}

#[test]
fn only_who_knows_the_token_is_let_in() {
    over_every_scheme(|subject| {
        for waits in Waits::ALL {
            let endpoint =
                subject.endpoint_with(|settings| settings.token = Some(b"open sesame".to_vec()));
            let serving = Serving::start(waits, State::new().server(), &endpoint);
            let client = WorkshopBlockingClient::connect(&endpoint).unwrap();
            assert_eq!(client.add(1, 1).unwrap(), 2);
            let wrong: [Option<&[u8]>; 6] = [
                None,
                Some(b""),
                Some(b"open"),
                Some(b"open sesame "),
                Some(b"open sesame\0"),
                Some(b"OPEN SESAME"),
            ];
            for token in wrong {
                let other = with(&endpoint, |settings| settings.token = token.map(<[u8]>::to_vec));
                assert_refused(&WorkshopBlockingClient::connect(&other).unwrap_err());
                assert_refused(&run(WorkshopClient::connect(&other)).unwrap_err());
            }
            // Counted after they were told.
            until(|| serving.stats().refused() == 12);
            assert_eq!(client.add(1, 1).unwrap(), 2);
        }
    });
}

#[test]
fn a_token_that_nobody_asks_for_does_no_harm() {
    over_every_scheme(|subject| {
        let endpoint = subject.endpoint();
        let _serving = Serving::start(Waits::Threads, State::new().server(), &endpoint);
        let other = with(&endpoint, |settings| settings.token = Some(b"sesame".to_vec()));
        assert_eq!(WorkshopBlockingClient::connect(&other).unwrap().add(1, 1).unwrap(), 2);
    });
}

/// A file that only its owner may read.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(subject: &Subject, name: &str, token: &str) -> Self {
        let path = subject.directory().join(name);
        fs::write(&path, token).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Self(path)
    }

    /// The endpoint with this as its token file.
    fn at(&self, endpoint: &Endpoint) -> Endpoint {
        Endpoint::parse(&format!("{}?token-file={}", endpoint.uri(), self.0.display())).unwrap()
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn tcp_takes_the_token_from_a_file() {
    let _watchdog = Watchdog::new("tokens from files".to_owned());
    let subject = Subject::named("tcp");
    let endpoint = subject.endpoint();
    let right = TokenFile::new(&subject, "right", "open sesame\n");
    let same = TokenFile::new(&subject, "same", "open sesame");
    let wrong = TokenFile::new(&subject, "wrong", "close sesame\n");
    for waits in Waits::ALL {
        let serving = Serving::start(waits, State::new().server(), &right.at(&endpoint));
        for right in [&right, &same] {
            let client = WorkshopBlockingClient::connect(&right.at(&endpoint)).unwrap();
            assert_eq!(client.add(1, 1).unwrap(), 2);
        }
        assert_refused(&WorkshopBlockingClient::connect(&wrong.at(&endpoint)).unwrap_err());
        assert_refused(&run(WorkshopClient::connect(&endpoint)).unwrap_err());
        until(|| (serving.stats().accepted(), serving.stats().refused()) == (2, 2));
    }
    fs::set_permissions(&wrong.0, Permissions::from_mode(0o644)).unwrap();
    let uri = format!("{}?token-file={}", endpoint.uri(), wrong.0.display());
    let error = Endpoint::parse(&uri).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}
