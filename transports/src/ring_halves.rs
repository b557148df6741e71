//! The two halves of a connection over rings in shared memory: one each way, and a bell for each. What a bell
//! is, and where the memory comes from, their users know: `shm:` and `sysv-shm:`.

use std::io::{self, IoSlice};

use crate::ring::{Consumer, Producer, Read};
use crate::sys::{Region, ThisProcess};

/// Looks in vain at the ring, without sleeping in between, after which the bell is looked at as well: a peer
/// that has died rings it, and who never sleeps would not notice.
const LOOKS: u32 = 4096;

/// A half's bell: what it sleeps on, and what wakes the half at the other end. Once the peer has gone it rings
/// without end.
pub(crate) trait Bell {
    /// Whether one that was rung and not heard does not ring again for who sleeps on edges. It is then heard
    /// before each sleep, because what was rung for an earlier one may come late.
    const STICKS: bool;

    /// Sleeps on edges after which it has to be heard. Until then what was rung may stay there: each further ring
    /// is an edge all the same. With 0 it is heard before each sleep.
    fn holds(&self) -> u32 {
        0
    }

    /// Wakes who sleeps at the other end. If it has gone there is nobody to wake, and it will be noticed.
    ///
    /// # Errors
    /// When this is no bell.
    fn ring(&self) -> io::Result<()>;

    /// Silences it, and says what it had to say.
    ///
    /// # Errors
    /// When the connection has ended for another reason than that the peer has gone.
    fn hear(&self) -> io::Result<Said>;
}

/// What a bell has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    /// The other half was dropped, or its process has died.
    Gone,
}

/// The half that reads. Its bell is not its own, so that it is there before this is.
#[derive(Debug)]
pub(crate) struct Reader {
    ring: Consumer<Region>,
    process: ThisProcess,
    /// Whether it has slept, or was about to, since it last looked at the bell: it may have been rung.
    unheard: bool,
    /// Sleeps on edges since then.
    sleeps: u32,
    /// Whether the bell has said that the peer has gone. It need not say so again to who sleeps on edges.
    gone: bool,
    looks: u32,
}

impl Reader {
    pub(crate) fn new(ring: Consumer<Region>, process: ThisProcess) -> Self {
        // As far as a client is concerned: its bells are rung when it is accepted.
        Self { ring, process, unheard: true, sleeps: 0, gone: false, looks: 0 }
    }

    #[inline]
    pub(crate) fn try_read(
        &mut self,
        bell: &impl Bell,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> io::Result<usize> {
        self.process.check()?;
        loop {
            match self.ring.read(buffer, limit)? {
                Read::Bytes(count) => {
                    if self.ring.must_ring() {
                        bell.ring()?;
                    }
                    return Ok(count);
                }
                Read::End => return Ok(0),
                Read::Nothing if self.gone => return Err(died()),
                Read::Nothing => {}
            }
            self.looks += 1;
            // Whoever was woken for nothing asks the bell why.
            if self.looks < LOOKS && !self.unheard {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.looks = 0;
            self.hear(bell)?;
            if !self.gone {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            // What it wrote before it went is still to be read.
        }
    }

    #[inline]
    pub(crate) fn is_dry(&mut self) -> bool {
        self.looks += 1;
        self.looks < LOOKS && !self.unheard && self.ring.is_dry()
    }

    pub(crate) fn arm<B: Bell>(&mut self, bell: &B) -> bool {
        // What rang for an earlier sleep must not end this one. Errors show again when it is read.
        let may_ring = B::STICKS || self.unheard;
        if !self.process.is_current() || (may_ring && self.hear(bell).is_err()) {
            return false;
        }
        self.announce()
    }

    /// The same for a sleep that only a further ring ends, or the end of the bell.
    #[inline]
    pub(crate) fn arm_edge(&mut self, bell: &impl Bell) -> bool {
        self.sleeps += 1;
        if self.sleeps > bell.holds() {
            return self.arm(bell);
        }
        self.process.is_current() && self.announce()
    }

    #[inline]
    fn announce(&mut self) -> bool {
        if self.gone {
            return false;
        }
        self.looks = 0;
        // Also if it does not sleep then: the peer may have seen what it was about to do.
        self.unheard = true;
        self.ring.arm().unwrap_or(false)
    }

    fn hear(&mut self, bell: &impl Bell) -> io::Result<()> {
        (self.unheard, self.sleeps) = (false, 0);
        self.gone |= bell.hear()? == Said::Gone;
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // In a forked child the connection is not over. Whoever waits for room is woken by the bell's end.
        if self.process.is_current() {
            self.ring.close();
        }
    }
}

/// The half that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    ring: Producer<Region>,
    process: ThisProcess,
    slept: bool,
    /// See [`Reader`].
    gone: bool,
}

impl Writer {
    pub(crate) fn new(ring: Producer<Region>, process: ThisProcess) -> Self {
        Self { ring, process, slept: true, gone: false }
    }

    #[inline]
    pub(crate) fn try_write(
        &mut self,
        bell: &impl Bell,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        self.process.check()?;
        if std::mem::take(&mut self.slept) {
            self.hear(bell)?;
        }
        if self.gone || self.ring.is_unheard() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the peer reads no more"));
        }
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(0);
        }
        match self.ring.write(buffers)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => {
                if self.ring.must_ring() {
                    bell.ring()?;
                }
                Ok(count)
            }
        }
    }

    pub(crate) fn arm<B: Bell>(&mut self, bell: &B) -> bool {
        let may_ring = B::STICKS || self.slept;
        if !self.process.is_current() || (may_ring && self.hear(bell).is_err()) || self.gone {
            return false;
        }
        self.slept = self.ring.arm().unwrap_or(false);
        self.slept
    }

    fn hear(&mut self, bell: &impl Bell) -> io::Result<()> {
        self.gone |= bell.hear()? == Said::Gone;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.ring.close();
        }
    }
}

fn died() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "it has gone without closing the connection")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::cell::Cell;

    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::unistd::ftruncate;

    use super::*;
    use crate::ring::CONTROL;

    const CAPACITY: usize = 4096;

    /// Those of both sides.
    fn memories() -> [Region; 2] {
        [(); 2].map(|()| {
            let file = memfd_create("ring-halves", MFdFlags::MFD_CLOEXEC).unwrap();
            ftruncate(&file, (CONTROL + CAPACITY) as i64).unwrap();
            Region::map(file, CAPACITY, true).unwrap()
        })
    }

    /// A bell that says so once, as it does to who sleeps on edges.
    struct Once(Cell<Said>);

    impl Bell for Once {
        const STICKS: bool = false;

        fn ring(&self) -> io::Result<()> {
            Ok(())
        }

        fn hear(&self) -> io::Result<Said> {
            Ok(self.0.replace(Said::Nothing))
        }
    }

    /// A bell that counts how often it was heard.
    struct Counting {
        heard: Cell<u32>,
        holds: u32,
    }

    impl Bell for Counting {
        const STICKS: bool = false;

        fn holds(&self) -> u32 {
            self.holds
        }

        fn ring(&self) -> io::Result<()> {
            Ok(())
        }

        fn hear(&self) -> io::Result<Said> {
            self.heard.set(self.heard.get() + 1);
            Ok(Said::Nothing)
        }
    }

    /// A reader, and the writer at the other end of its ring.
    fn ring() -> (Reader, Producer<Region>) {
        let [ours, theirs] = memories();
        let writer = Producer::new(theirs.clone(), ours.clone(), CAPACITY);
        let process = ThisProcess::current().unwrap();
        (Reader::new(Consumer::new(ours, theirs, CAPACITY), process), writer)
    }

    #[test]
    fn a_bell_is_heard_before_it_is_full_and_when_nothing_has_come() {
        let (mut reader, mut writer) = ring();
        let bell = Counting { heard: Cell::new(0), holds: 10 };
        let mut bytes = Vec::with_capacity(64);
        for round in 1..=3 {
            for _ in 0..10 {
                assert!(reader.arm_edge(&bell));
                writer.write(&[IoSlice::new(b"x")]).unwrap();
                assert!(writer.must_ring() && !writer.must_ring());
                assert_eq!(reader.try_read(&bell, &mut bytes, 64).unwrap(), 1);
            }
            assert_eq!(bell.heard.get(), round - 1);
            assert!(reader.arm_edge(&bell));
            assert_eq!(bell.heard.get(), round);
        }
        for _ in 0..5 {
            let error = reader.try_read(&bell, &mut bytes, 64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(bell.heard.get(), 4, "once for a sleep");
        }
        // By level, it is silenced before each sleep that follows one on edges.
        assert!(reader.arm_edge(&bell) && reader.arm(&bell));
        assert_eq!(bell.heard.get(), 5);
    }

    #[test]
    fn a_bell_that_holds_nothing_is_heard_before_each_sleep() {
        let (mut reader, _writer) = ring();
        let bell = Counting { heard: Cell::new(0), holds: 0 };
        for heard in 1..=3 {
            assert!(reader.arm_edge(&bell));
            assert_eq!(bell.heard.get(), heard);
        }
    }

    #[test]
    fn a_death_that_was_heard_before_the_last_bytes_is_not_forgotten() {
        let [ours, theirs] = memories();
        let process = ThisProcess::current().unwrap();
        let mut theirs_before = Producer::new(theirs.clone(), ours.clone(), CAPACITY);
        theirs_before.write(&[IoSlice::new(b"last words")]).unwrap();
        let mut reader =
            Reader::new(Consumer::new(ours.clone(), theirs.clone(), CAPACITY), process);
        let mut writer = Writer::new(Producer::new(ours, theirs, CAPACITY), process);

        let bell = Once(Cell::new(Said::Gone));
        let mut bytes = Vec::with_capacity(64);
        assert_eq!(reader.try_read(&bell, &mut bytes, 64).unwrap(), 10);
        assert!(!reader.arm(&bell));
        for _ in 0..2 {
            let error = reader.try_read(&bell, &mut bytes, 64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        bell.0.set(Said::Gone);
        assert!(!writer.arm(&bell));
        for _ in 0..2 {
            let error = writer.try_write(&bell, &[IoSlice::new(b"?")]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
