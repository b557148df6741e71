//! A peer that sends whatever bytes a test wants, over any transport.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use ipcall::Endpoint;
use ipcall::transport::{Connector, Interest, Listener, ReadHalf, Transport, WriteHalf};
use ipcall_core::protocol::hello::Hello as TheirHello;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::frame::{Frame, GOODBYE, HELLO, Hello, PREFACE};

/// One end of a connection, without any protocol.
pub(crate) struct Raw {
    reader: Box<dyn ReadHalf>,
    writer: Option<Box<dyn WriteHalf>>,
    /// What has come and is not looked at yet.
    pub(crate) come: Vec<u8>,
    ended: bool,
}

impl Raw {
    pub(crate) fn new(transport: Transport) -> Self {
        let Transport { reader, writer, .. } = transport;
        Self { reader, writer: Some(writer), come: Vec::new(), ended: false }
    }

    /// Waits until the connection stands, for transports that take a while to make one.
    pub(crate) fn connect(endpoint: &Endpoint) -> Self {
        let mut raw = Self::begin(endpoint);
        raw.stands(None);
        raw
    }

    /// Begins to connect; nobody may ever accept.
    pub(crate) fn begin(endpoint: &Endpoint) -> Self {
        Self::new(endpoint.try_connect().unwrap())
    }

    /// Whether the connection stands within this time, or has failed: then nothing is in the way of
    /// writing, not even of writing nothing.
    pub(crate) fn stands(&mut self, patience: Option<Duration>) -> bool {
        let Some(writer) = &mut self.writer else { return true };
        while let Err(error) = writer.try_write(&[IoSlice::new(&[])]) {
            if error.kind() != io::ErrorKind::WouldBlock {
                break;
            }
            if writer.arm() && !sleep(writer.as_fd(), writer.interest(), patience) {
                return false;
            }
        }
        true
    }

    /// The same, unless nobody answers.
    pub(crate) fn try_connect(endpoint: &Endpoint) -> Option<Self> {
        endpoint.try_connect().ok().map(Self::new)
    }

    /// Connects and greets as a client does; gives the server's `Hello`, too.
    pub(crate) fn greeted(endpoint: &Endpoint) -> (Self, TheirHello) {
        let mut raw = Self::connect(endpoint);
        raw.write(&Hello::default().to_bytes());
        let theirs = raw.hello();
        (raw, theirs)
    }

    /// The next client of a listener.
    pub(crate) fn accept(listener: &mut dyn Listener) -> Self {
        loop {
            match listener.try_accept() {
                Ok(transport) => return Self::new(transport),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sleep(listener.as_fd(), Interest::Readable, None);
                }
                Err(error) => panic!("accepting: {error}"),
            }
        }
    }

    /// Writes all of it, as far as the other side takes it; `false` if it does not.
    pub(crate) fn try_write(&mut self, mut bytes: &[u8]) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        while !bytes.is_empty() {
            match writer.try_write(&[IoSlice::new(bytes)]) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if writer.arm() {
                        sleep(writer.as_fd(), writer.interest(), None);
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Writes for as long as the other side takes more within `patience`; says how many bytes it took.
    pub(crate) fn write_until_full(&mut self, bytes: &[u8], patience: Duration) -> usize {
        let Some(writer) = &mut self.writer else { return 0 };
        let mut written = 0;
        while written < bytes.len() {
            match writer.try_write(&[IoSlice::new(&bytes[written..])]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let interest = writer.interest();
                    if writer.arm() && !sleep(writer.as_fd(), interest, Some(patience)) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        written
    }

    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        assert!(self.try_write(bytes), "the other side has stopped reading");
    }

    #[track_caller]
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.write(&frame.to_bytes());
    }

    /// Writes nothing more; the other side sees the end.
    pub(crate) fn finish(&mut self) {
        self.writer = None;
    }

    /// Reads once. `false` at the end, whether it was orderly or not.
    fn fill(&mut self, until: Option<Instant>) -> bool {
        while !self.ended {
            self.come.reserve(64 << 10);
            match self.reader.try_read(&mut self.come, 64 << 10) {
                Ok(0) => self.ended = true,
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                    if self.reader.arm()
                        && !sleep(self.reader.as_fd(), Interest::Readable, left)
                        && left.is_some()
                    {
                        return true;
                    }
                }
                Err(_) => self.ended = true,
            }
        }
        false
    }

    /// The next frame; `None` when the other side has closed.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.come) {
                return Some(frame);
            }
            if !self.fill(None) {
                return None;
            }
        }
    }

    /// The other side's `Hello`.
    #[track_caller]
    pub(crate) fn hello(&mut self) -> TheirHello {
        self.preface();
        let frame = self.frame().expect("it closed instead of greeting");
        assert_eq!(frame.kind, HELLO, "{frame:?}: {}", frame.text());
        TheirHello::from_body(&frame.body).unwrap()
    }

    /// Greets, and says whether it is greeted in turn.
    pub(crate) fn finds_a_welcome(mut self) -> bool {
        self.try_write(&Hello::default().to_bytes());
        self.is_welcomed()
    }

    /// Whether the server's `Hello` comes, and not the end.
    pub(crate) fn is_welcomed(&mut self) -> bool {
        while self.come.len() < PREFACE.len() {
            if !self.fill(None) {
                return false;
            }
        }
        self.come.drain(..PREFACE.len());
        self.frame().is_some_and(|frame| frame.kind == HELLO)
    }

    #[track_caller]
    pub(crate) fn preface(&mut self) {
        while self.come.len() < PREFACE.len() {
            assert!(self.fill(None), "it closed after {:?}", self.come);
        }
        let preface: Vec<u8> = self.come.drain(..PREFACE.len()).collect();
        assert_eq!(preface, PREFACE);
    }

    /// The reason and the text of the `Goodbye` that comes before the end; other frames are skipped.
    #[track_caller]
    pub(crate) fn goodbye(&mut self) -> (u16, String) {
        while let Some(frame) = self.frame() {
            if frame.kind == GOODBYE {
                return (frame.code, frame.text());
            }
        }
        panic!("it closed without a word");
    }

    /// All that comes until the other side has closed.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill(None) {}
        std::mem::take(&mut self.come)
    }

    /// Whether the other side has closed within this time. What came is kept.
    pub(crate) fn closes_within(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.fill(Some(until)) {
            if Instant::now() >= until {
                return false;
            }
        }
        true
    }

    /// Lets time pass without reading; whether the other side has gone meanwhile, with nothing left to
    /// read. Something that is to be read counts as there.
    pub(crate) fn closes_within_unread(&mut self, patience: Duration) -> bool {
        std::thread::sleep(patience);
        self.ended
    }
}

/// The number that a method has on this connection.
#[track_caller]
pub(crate) fn number(hello: &TheirHello, method: &str) -> u16 {
    let methods = hello.services.iter().flat_map(|service| &service.methods);
    let index = methods.map(|method| &method.name).position(|name| name == method);
    u16::try_from(index.expect("it is offered")).unwrap()
}

/// Sleeps until `fd` shows what is wanted, or its end; `false` if the time is over before.
pub(crate) fn sleep(fd: BorrowedFd<'_>, interest: Interest, patience: Option<Duration>) -> bool {
    let flags = match interest {
        Interest::Readable => PollFlags::POLLIN,
        Interest::Writable => PollFlags::POLLOUT,
    };
    let timeout = patience.map_or(PollTimeout::NONE, |patience| {
        // Rounded up, so that waiting for the rest of a time does not spin.
        let millis = patience.as_millis() + 1;
        PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap()
    });
    loop {
        match poll(&mut [PollFd::new(fd, flags)], timeout) {
            Ok(ready) => return ready > 0,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => panic!("poll: {errno}"),
        }
    }
}
