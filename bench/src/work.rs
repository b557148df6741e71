//! A caller's loop: one call in flight, its answer checked, its time taken.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::service::Record;

/// One caller's measurements.
pub(crate) struct Meter {
    pub(crate) times: Histogram<u64>,
    until: Instant,
    begun: Instant,
    calls: u64,
    seed: u64,
}

impl Meter {
    /// For a caller that calls for this long.
    pub(crate) fn new(caller: u64, duration: Duration) -> Self {
        let times =
            Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order");
        let now = Instant::now();
        Self { times, until: now + duration, begun: now, calls: 0, seed: caller << 32 }
    }

    /// Begins a call, unless the time is over.
    #[inline]
    pub(crate) fn start(&mut self) -> bool {
        self.begun = Instant::now();
        self.begun < self.until
    }

    /// Ends a call.
    #[inline]
    pub(crate) fn stop(&mut self) {
        let nanos = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.times.saturating_record(nanos);
        self.calls += 1;
    }

    /// The next numbers to add.
    #[inline]
    pub(crate) fn operands(&self) -> (u64, u64) {
        (self.seed ^ self.calls, self.calls.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The first record; each answer is the next question.
    pub(crate) fn record(&self) -> Record {
        Record::sample(self.seed)
    }
}

/// The bytes of the first echo; each answer is the next question.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    (0..size).map(byte_at).collect()
}

fn byte_at(index: usize) -> u8 {
    (index as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]
}

/// Whether an echo came back, judged by its length and its ends; what is damaged is sent again, so it
/// shows at the end at the latest.
#[inline]
pub(crate) fn check_echo(got: &[u8], size: usize) {
    assert_eq!(got.len(), size, "an echo of another length");
    if let (Some(first), Some(last)) = (got.first(), got.last()) {
        assert!(*first == byte_at(0) && *last == byte_at(size - 1), "an echo of other bytes");
    }
}

/// The loop, the same for asynchronous and blocking callers.
macro_rules! caller {
    ($meter:expr, $options:expr, |$client:ident| $($wait:tt)*) => {{
        let meter: &mut $crate::work::Meter = $meter;
        match $options.op {
            $crate::Op::Add => loop {
                let (a, b) = meter.operands();
                if !meter.start() {
                    break;
                }
                let got = $client.add(a, b)$($wait)*?;
                meter.stop();
                assert_eq!(got, a.wrapping_add(b), "a wrong sum");
            },
            $crate::Op::Echo => {
                let size = $options.size;
                let mut data = $crate::work::payload(size);
                while meter.start() {
                    data = $client.echo(data)$($wait)*?;
                    meter.stop();
                    $crate::work::check_echo(&data, size);
                }
                assert!(data == $crate::work::payload(size), "an echo of other bytes");
            }
            $crate::Op::Record => {
                let mut record = meter.record();
                while meter.start() {
                    let id = record.id.wrapping_add(1);
                    record = $client.record(record)$($wait)*?;
                    meter.stop();
                    assert_eq!(record.id, id, "another record");
                }
                let sample = $crate::service::Record::sample(record.id);
                assert_eq!(record, sample, "another record");
            }
            $crate::Op::Stream => unreachable!("it has a loop of its own"),
        }
    }};
}

pub(crate) use caller;
