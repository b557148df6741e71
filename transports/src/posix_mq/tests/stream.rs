//! Pieces and ends, over one queue.

use super::*;

#[test]
fn a_message_larger_than_the_limit_is_given_in_parts() {
    let scratch = Scratch::new();
    let (mut server, mut client) = pair(&scratch.place());
    let sent: Vec<u8> = (0..=255).collect();
    assert_eq!(write(&mut *client.writer, &sent).unwrap(), 256);
    assert_eq!(write(&mut *client.writer, b"next").unwrap(), 4);
    let mut read = Vec::with_capacity(300);
    for limit in [1, 100, 1, 154] {
        assert_eq!(server.reader.try_read(&mut read, limit).unwrap(), limit);
        assert!(!server.reader.arm());
    }
    assert_eq!(read, sent);
    assert_eq!(server.reader.try_read(&mut read, 44).unwrap(), 4);
    assert_eq!(read[256..], *b"next");
    // It is not worth an error that nothing may be read, and it is not the end.
    let error = server.reader.try_read(&mut read, 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn after_the_end_nothing_more_comes() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    let key = KeyFile::open(&place.path).unwrap().unwrap();
    let claim = Claim::take(key).unwrap();
    let (up, down) = claim.make_queues().unwrap();
    let announcement = Announcement { nonce: header(&place).nonce, id: claim.id };
    let queue = Queue::open(&rendezvous(announcement.nonce), End::Writing).unwrap();
    queue.send(&announcement.to_bytes()).unwrap();
    let mut server = listener.try_accept().unwrap();
    // A liar goes on after the end.
    for message in [&b"hello"[..], b"", b"more"] {
        up.send(message).unwrap();
    }
    assert_eq!(read(&mut *server.reader).unwrap(), b"hello");
    for _ in 0..3 {
        assert_eq!(read(&mut *server.reader).unwrap(), b"");
        assert!(!server.reader.arm());
    }
    // One that says it has ended and has not, is believed.
    down.mark_ended();
    let error = std::iter::repeat_with(|| write(&mut *server.writer, b"x")).find_map(Result::err);
    assert_eq!(error.unwrap().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn an_end_that_finds_the_queue_full_arrives() {
    let scratch = Scratch::new();
    let place = scratch.place();
    let mut listener = bind(&place);
    for fill in 0..=PRIVATE.messages {
        let mut client = connect(&place).unwrap();
        let mut server = listener.try_accept().unwrap();
        for _ in 0..fill {
            write(&mut *client.writer, b"x").unwrap();
        }
        let Transport { writer, reader: _reader, .. } = client;
        drop(writer);
        for _ in 0..fill {
            assert_eq!(read(&mut *server.reader).unwrap(), b"x");
        }
        // As one does who believes that the last read was the last message.
        assert!(!server.reader.arm() || is_readable(&server.reader));
        assert_eq!(read(&mut *server.reader).unwrap(), b"");
    }
}
