//! Calling the server, and what is learnt from that.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ipcall::{ConnectOptions, Endpoint};

use crate::corpus::Piece;
use crate::wordcount::WordCountClient;

/// How long a transport is tried; each piece is sent at least once.
const SPAN: Duration = Duration::from_secs(1);

/// How long the server may take to start, and to answer a call.
const PATIENCE: Duration = Duration::from_secs(10);

/// What takes longer counts as this. No call does.
const LONGEST_NS: u64 = 60_000_000_000;

/// Calls between two reports of progress.
const STRIDE: u64 = 64;

/// What was measured so far.
pub(crate) struct Measured {
    /// Calls that were answered rightly.
    pub(crate) calls: u64,
    /// From call to answer, in nanoseconds.
    latencies: Histogram<u64>,
    bytes: u64,
    elapsed: Duration,
}

impl Default for Measured {
    fn default() -> Self {
        let latencies = Histogram::new_with_max(LONGEST_NS, 3);
        let latencies = latencies.expect("the range and three significant digits are allowed");
        Self { calls: 0, latencies, bytes: 0, elapsed: Duration::ZERO }
    }
}

impl Measured {
    /// Connects, and calls the server with one piece after the other, again and again.
    ///
    /// # Errors
    /// What failed, or which answer was wrong.
    pub(crate) async fn call(
        &mut self,
        endpoint: &Endpoint,
        pieces: &[Piece],
        progress: impl Fn(&Self),
    ) -> Result<(), String> {
        let options = ConnectOptions::new().wait_for_server(PATIENCE).deadline(PATIENCE);
        let client = WordCountClient::connect_with(endpoint, &options);
        let client = client.await.map_err(|error| error.to_string())?;
        let start = Instant::now();
        for (piece, sent) in pieces.iter().cycle().zip(1..) {
            self.count(&client, piece).await?;
            self.elapsed = start.elapsed();
            if sent >= pieces.len() && self.elapsed >= SPAN {
                break;
            }
            if self.calls.is_multiple_of(STRIDE) {
                progress(self);
            }
        }
        Ok(())
    }

    async fn count(&mut self, client: &WordCountClient, piece: &Piece) -> Result<(), String> {
        let Piece { file, text, counts } = piece;
        let start = Instant::now();
        let answer = client.count(text).await.map_err(|error| error.to_string())?;
        let latency = start.elapsed().as_nanos();
        if answer != *counts {
            let file = file.display();
            return Err(format!("{file}: the answer is {answer:?}, and its own count {counts:?}"));
        }
        self.latencies.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        self.calls += 1;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// The time within which this share of the calls was answered, in nanoseconds.
    pub(crate) fn quantile_ns(&self, share: f64) -> u64 {
        self.latencies.value_at_quantile(share)
    }

    /// Text sent, in 10^6 bytes per second.
    pub(crate) fn mb_per_s(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        self.bytes as f64 / self.elapsed.as_secs_f64() / 1e6
    }
}
