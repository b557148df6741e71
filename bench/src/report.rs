//! What a run gives: one JSON object, or a few lines for people.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::work::Meter;
use crate::{Op, Options, machine, word};

/// CPU time of client and server, and the server's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    client: Duration,
    server: Option<Duration>,
    server_rss_kib: Option<u64>,
}

impl Usage {
    /// So far.
    pub(crate) fn now(server: Option<u32>) -> Self {
        Self {
            client: machine::cpu_time(None).unwrap_or_default(),
            server: server.and_then(|process| machine::cpu_time(Some(process))),
            server_rss_kib: server.and_then(machine::resident_kib),
        }
    }

    /// The client's and the server's CPU time, in s, and the server's memory, in KiB.
    pub(crate) fn numbers(self) -> (f64, Option<f64>, Option<u64>) {
        let server = self.server.map(|time| time.as_secs_f64());
        (self.client.as_secs_f64(), server, self.server_rss_kib)
    }

    /// Since this was taken.
    pub(crate) fn until_now(self, server: Option<u32>) -> Self {
        let now = Self::now(server);
        Self {
            client: now.client.saturating_sub(self.client),
            server: now.server.zip(self.server).map(|(now, then)| now.saturating_sub(then)),
            server_rss_kib: now.server_rss_kib,
        }
    }
}

/// The result of a run. `server_*` are null where the server shares the client's process, and `beside_*`
/// without a caller beside.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    transport: String,
    op: String,
    size: usize,
    concurrency: u32,
    calls_per_s: f64,
    rtt_ns: Times,
    client_cpu_s: f64,
    server_cpu_s: Option<f64>,
    server_rss_kib: Option<u64>,
    client: String,
    server: String,
    pin: String,
    calls: u64,
    seconds: f64,
    /// What the caller beside got echoed meanwhile, in 10^6 bytes a second, there and back counted once.
    beside_mb_per_s: Option<f64>,
    /// What the streams beside brought, in 10^6 bytes a second.
    streams_mb_per_s: Option<f64>,
}

/// Round trips, in ns.
#[derive(Debug, Serialize)]
struct Times {
    min: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Report {
    pub(crate) fn new(options: &Options, meters: &[Meter], took: Duration, usage: Usage) -> Self {
        let mut all: Histogram<u64> = meters[0].times.clone();
        for meter in &meters[1..] {
            all.add(&meter.times).expect("all have the same bounds");
        }
        let seconds = took.as_secs_f64();
        Self {
            transport: options.transport.clone(),
            op: word(&options.op),
            size: if options.op == Op::Echo { options.size } else { 0 },
            concurrency: options.concurrency,
            calls_per_s: (all.len() as f64 / seconds * 10.0).round() / 10.0,
            rtt_ns: Times {
                min: all.min(),
                p50: all.value_at_quantile(0.5),
                p90: all.value_at_quantile(0.9),
                p99: all.value_at_quantile(0.99),
                p999: all.value_at_quantile(0.999),
                max: all.max(),
            },
            client_cpu_s: usage.client.as_secs_f64(),
            server_cpu_s: usage.server.map(|time| time.as_secs_f64()),
            server_rss_kib: usage.server_rss_kib,
            client: word(&options.client),
            server: word(&options.server),
            pin: word(&options.pin),
            calls: all.len(),
            seconds,
            beside_mb_per_s: None,
            streams_mb_per_s: None,
        }
    }

    /// Adds what the caller beside did: how many echoes of `size` bytes it got.
    pub(crate) fn with_beside(self, size: Option<usize>, echoed: u64) -> Self {
        let rate = size.map(|size| size as f64 * echoed as f64 / self.seconds / 1e6);
        Self { beside_mb_per_s: rate.map(f64::round), ..self }
    }

    /// Adds what the streams beside brought: so many bytes.
    pub(crate) fn with_streams(self, streams: u32, bytes: u64) -> Self {
        let rate = (streams > 0).then(|| (bytes as f64 / self.seconds / 1e6).round());
        Self { streams_mb_per_s: rate, ..self }
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("a report is plain data"));
            return;
        }
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let Times { min, p50, p90, p99, p999, max } = self.rtt_ns;
        println!(
            "{} {} (client {}, server {}, pin {}), {} in flight: {} calls in {:.1} s, {:.0} a second",
            self.transport,
            self.op,
            self.client,
            self.server,
            self.pin,
            self.concurrency,
            self.calls,
            self.seconds,
            self.calls_per_s,
        );
        println!(
            "  round trip, us: min {:.2}  p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2}",
            micros(min),
            micros(p50),
            micros(p90),
            micros(p99),
            micros(p999),
            micros(max),
        );
        if let Some(rate) = self.beside_mb_per_s {
            println!("  beside it {rate:.0} MB/s were echoed");
        }
        if let Some(rate) = self.streams_mb_per_s {
            println!("  beside it streams brought {rate:.0} MB/s");
        }
        let per_call = |seconds: f64| seconds * 1e6 / self.calls.max(1) as f64;
        print!("  CPU, us a call: client {:.2}", per_call(self.client_cpu_s));
        if let Some(server) = self.server_cpu_s {
            print!("  server {:.2}", per_call(server));
        }
        if let Some(kib) = self.server_rss_kib {
            print!("   server memory {kib} KiB");
        }
        println!();
    }
}
