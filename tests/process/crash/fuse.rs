//! An endpoint whose process kills itself at a marked point of its way through the transport.

use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipcall::transport::{
    Binder, Connector, Interest, Listener, Listening, ReadHalf, Transport, WriteHalf,
};
use ipcall::{Endpoint, RpcError, Settings};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Where a process can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Point {
    BeforeConnecting,
    AfterConnecting,
    BeforeReading,
    /// Nothing was there.
    AfterReadingNothing,
    AfterReading,
    BeforeArming,
    /// About to sleep.
    AfterArming,
    BeforeWriting,
    /// Half of the bytes are out.
    WhileWriting,
    AfterWriting,
    /// In a handler, or between two calls.
    Working,
    /// The connection is over, and not closed yet.
    BeforeClosing,
}

impl Point {
    pub(crate) const ALL: [Self; 12] = [
        Self::BeforeConnecting,
        Self::AfterConnecting,
        Self::BeforeReading,
        Self::AfterReadingNothing,
        Self::AfterReading,
        Self::BeforeArming,
        Self::AfterArming,
        Self::BeforeWriting,
        Self::WhileWriting,
        Self::AfterWriting,
        Self::Working,
        Self::BeforeClosing,
    ];
}

/// Kills its process when a point is passed for the n-th time.
pub(crate) struct Fuse {
    point: Point,
    left: AtomicU32,
    last_words: Mutex<UnixStream>,
}

impl Fuse {
    /// For the passage after `spared` others. When it comes, the time of death is said first.
    pub(crate) fn new(point: Point, spared: u32, last_words: UnixStream) -> Arc<Self> {
        let last_words = Mutex::new(last_words);
        Arc::new(Self { point, left: AtomicU32::new(spared), last_words })
    }

    /// The process is at this point.
    pub(crate) fn pass(&self, point: Point) {
        if point == self.point && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            let words = format!("{}\n", now().as_nanos());
            // In one write; whoever started this process may have gone.
            let _ = self.last_words.lock().unwrap().write_all(words.as_bytes());
            kill(Pid::this(), Signal::SIGKILL).unwrap();
        }
    }
}

/// Time that all processes have in common.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into()
}

/// An endpoint with a fuse.
pub(crate) struct Mined {
    pub(crate) endpoint: Endpoint,
    pub(crate) fuse: Arc<Fuse>,
}

impl Connector for Mined {
    fn uri(&self) -> &Arc<str> {
        Connector::uri(&self.endpoint)
    }

    fn settings(&self) -> &Settings {
        self.endpoint.settings()
    }

    fn try_connect(&self) -> Result<Transport, RpcError> {
        self.fuse.pass(Point::BeforeConnecting);
        let transport = self.endpoint.try_connect()?;
        self.fuse.pass(Point::AfterConnecting);
        Ok(mine(transport, &self.fuse))
    }
}

impl Binder for Mined {
    fn uri(&self) -> &Arc<str> {
        Connector::uri(&self.endpoint)
    }

    fn settings(&self) -> &Settings {
        self.endpoint.settings()
    }

    fn bind(&self) -> Result<Listening, RpcError> {
        let Listening { listener, uri } = self.endpoint.bind()?;
        let fuse = Arc::clone(&self.fuse);
        Ok(Listening { listener: Box::new(MinedListener { listener, fuse }), uri })
    }
}

struct MinedListener {
    listener: Box<dyn Listener>,
    fuse: Arc<Fuse>,
}

impl Listener for MinedListener {
    fn try_accept(&mut self) -> io::Result<Transport> {
        self.fuse.pass(Point::BeforeConnecting);
        let transport = self.listener.try_accept()?;
        self.fuse.pass(Point::AfterConnecting);
        Ok(mine(transport, &self.fuse))
    }
}

impl AsFd for MinedListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

fn mine(transport: Transport, fuse: &Arc<Fuse>) -> Transport {
    let Transport { reader, writer, peer } = transport;
    let reader = Box::new(MinedReader { reader, fuse: Arc::clone(fuse) });
    let writer = Box::new(MinedWriter { writer, fuse: Arc::clone(fuse) });
    Transport { reader, writer, peer }
}

struct MinedReader {
    reader: Box<dyn ReadHalf>,
    fuse: Arc<Fuse>,
}

impl ReadHalf for MinedReader {
    fn try_read(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        self.fuse.pass(Point::BeforeReading);
        let read = self.reader.try_read(buffer, limit);
        let point = if read.is_ok() { Point::AfterReading } else { Point::AfterReadingNothing };
        self.fuse.pass(point);
        read
    }

    fn arm(&mut self) -> bool {
        self.fuse.pass(Point::BeforeArming);
        let armed = self.reader.arm();
        self.fuse.pass(Point::AfterArming);
        armed
    }

    fn short_read_drains(&self) -> bool {
        // So that nothing is read in vain is a point, too.
        false
    }
}

impl AsFd for MinedReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

struct MinedWriter {
    writer: Box<dyn WriteHalf>,
    fuse: Arc<Fuse>,
}

impl WriteHalf for MinedWriter {
    fn try_write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.fuse.pass(Point::BeforeWriting);
        let first = buffers.iter().find(|buffer| buffer.len() > 1);
        let half = first.map(|first| &first[..first.len() / 2]);
        let written = match half.filter(|_| self.fuse.point == Point::WhileWriting) {
            Some(half) if buffers.first().is_some_and(|buffer| buffer.len() > 1) => {
                self.writer.try_write(&[IoSlice::new(half)])
            }
            _ => self.writer.try_write(buffers),
        };
        if written.is_ok() {
            self.fuse.pass(Point::WhileWriting);
            self.fuse.pass(Point::AfterWriting);
        }
        written
    }

    fn is_quick(&self) -> bool {
        self.writer.is_quick()
    }

    fn arm(&mut self) -> bool {
        self.writer.arm()
    }

    fn interest(&self) -> Interest {
        self.writer.interest()
    }
}

impl AsFd for MinedWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}

impl Drop for MinedWriter {
    fn drop(&mut self) {
        self.fuse.pass(Point::BeforeClosing);
    }
}
