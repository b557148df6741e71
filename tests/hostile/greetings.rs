//! What comes instead of a greeting, and greetings that are not welcome.

use crate::server::Orders;
use crate::support::frame::{Frame, HELLO, Hello, PREFACE};
use crate::support::raw::Raw;
use crate::victim::{Victim, attack};

/// The reason of a `Goodbye` to a client that is not wanted.
const REFUSED: u16 = 1;

/// Sends `bytes` instead of a greeting. The server has to close, without having said anything.
fn send_instead(victim: &mut Victim, bytes: &[u8]) {
    let mut raw = victim.raw();
    raw.try_write(bytes);
    assert_eq!(raw.rest(), b"", "a server is silent until it knows whom it talks to");
}

#[test]
fn other_protocols_are_not_answered() {
    let http = b"GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    // The beginning of a TLS 1.2 ClientHello: a handshake record of 512 bytes.
    let mut tls = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    tls.resize(517, 0x5a);
    let others = [
        http,
        tls,
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\n".to_vec(),
        vec![0; 1000],
        vec![0xff; 100_000],
        PREFACE[1..].to_vec(),
        b"\x89ipcall\r\n".to_vec(),
        b"\x89ipcalL\n".to_vec(),
    ];
    attack(&Orders::default(), |victim| {
        for bytes in &others {
            send_instead(victim, bytes);
            victim.assert_end("ProtocolViolation", "which is not the preface of ipcall");
        }
        assert_eq!(victim.counts().violations, others.len() as u64);
    });
}

#[test]
fn a_wrong_first_byte_ends_the_connection_at_once() {
    attack(&Orders::default(), |victim| {
        let mut raw = victim.raw();
        raw.write(b"\x88");
        assert_eq!(raw.rest(), b"");
        victim.assert_end("ProtocolViolation", "88, 00");
    });
}

#[test]
fn a_frame_before_the_hello_ends_the_connection() {
    let early = [
        Frame::call(0, 1, &[1, 2]),
        Frame::beginning(1, 1, 60 << 20, &[0; 60_000]),
        Frame::fragment(1, &[0; 1000]),
        Frame::reply(1, &[1]),
        Frame::new(crate::support::frame::PING, 1),
        Frame::new(crate::support::frame::CANCEL, 1),
        Frame::new(crate::support::frame::CREDIT, 1),
    ];
    attack(&Orders::default(), |victim| {
        for frame in &early {
            send_instead(victim, &[PREFACE, &frame.to_bytes()].concat());
            victim.assert_end("ProtocolViolation", "frame before the hello");
        }
        assert_eq!(victim.counts().violations, early.len() as u64);
    });
}

#[test]
fn a_hello_that_is_none_ends_the_connection() {
    let huge = Frame::new(HELLO, 0);
    let body = |body: &[u8]| Frame { body: body.to_vec(), ..Frame::new(HELLO, 0) }.to_bytes();
    let whole = Hello::default().frame().body;
    let wrong = [
        (huge.to_bytes_of_length(u32::MAX), "4294967295 bytes"),
        (huge.to_bytes_of_length((1 << 20) + 1), "the limit is 1048576"),
        (Frame { flags: 1, ..Hello::default().frame() }.to_bytes(), "flags 0x01"),
        (body(&[]), "cannot be read"),
        (body(&whole[..whole.len() - 1]), "cannot be read"),
        (body(&[whole.as_slice(), b"more"].concat()), "cannot be read"),
        // A million services, none of which is there.
        (Hello::default().frame_with(&[0xc0, 0x84, 0x3d]).to_bytes(), "cannot be read"),
        // A token of 2^63 bytes.
        (body(&[&whole[..whole.len() - 4], &[0x80; 9], &[1, 0, 0, 0]].concat()), "cannot be read"),
    ];
    attack(&Orders::default(), |victim| {
        for (frame, text) in &wrong {
            send_instead(victim, &[PREFACE, frame].concat());
            victim.assert_end("ProtocolViolation", text);
        }
        assert_eq!(victim.counts().violations, wrong.len() as u64);
    });
}

#[test]
fn a_hello_as_large_as_may_be_is_read() {
    attack(&Orders::default(), |victim| {
        let mut raw = victim.raw();
        let spare = (1 << 20) - Hello::default().frame().body.len() - 3;
        let hello = Hello { token: vec![b't'; spare], ..Hello::default() };
        raw.write(&hello.to_bytes());
        raw.hello();
        raw.finish();
        assert_eq!(raw.rest(), b"");
    });
}

/// Greets, and checks the `Goodbye` that comes instead of a greeting.
fn is_refused(victim: &mut Victim, hello: &Hello, texts: &[&str]) {
    let mut raw = victim.raw();
    raw.write(&hello.to_bytes());
    raw.preface();
    let (reason, text) = raw.goodbye();
    assert_eq!(reason, REFUSED);
    assert_eq!(raw.rest(), b"", "a goodbye is the last frame");
    for part in texts {
        assert!(text.contains(part), "{text}");
        victim_text(victim, part);
    }
}

/// What the server itself says of the last refusal.
fn victim_text(victim: &mut Victim, part: &str) {
    let end = victim.end();
    assert!(end.kind == "Refused" && end.text.contains(part), "{end:?}");
}

#[test]
fn another_version_is_told_ours() {
    attack(&Orders::default(), |victim| {
        for version in [0, 2, 100] {
            let hello = Hello { version, ..Hello::default() };
            is_refused(victim, &hello, &[&format!("version {version} of the protocol, we 1")]);
        }
        assert_eq!(victim.counts().refused, 3);
    });
}

#[test]
fn what_follows_another_version_is_not_looked_at() {
    attack(&Orders::default(), |victim| {
        let mut raw = victim.raw();
        let frame = Frame { body: b"\x02who knows".to_vec(), ..Frame::new(HELLO, 0) };
        raw.write(&[PREFACE, &frame.to_bytes()].concat());
        raw.preface();
        assert_eq!(raw.goodbye().0, REFUSED);
        victim.assert_end("Refused", "version 2");
    });
}

#[test]
fn a_wrong_token_is_refused() {
    let orders = Orders { token: Some("open sesame".to_owned()), ..Orders::default() };
    attack(&orders, |victim| {
        let tokens: [&[u8]; 5] = [b"", b"open", b"open sesame!", b"\xff\xfe", &[b'o'; 500_000]];
        for token in tokens {
            let hello = Hello { token: token.to_vec(), ..Hello::default() };
            is_refused(victim, &hello, &["token"]);
        }
        assert_eq!(victim.counts().refused, tokens.len() as u64);
    });
}

#[test]
fn a_call_may_come_right_behind_the_hello() {
    attack(&Orders::default(), |victim| {
        let (_, add) = victim.caller("add");
        let mut raw = Raw::connect(victim.endpoint());
        let call = Frame::call(add, 1, &[2, 3]).to_bytes();
        raw.write(&[Hello::default().to_bytes(), call].concat());
        raw.hello();
        assert_eq!(raw.frame().unwrap(), Frame::reply(1, &[5]));
    });
}
