//! What is printed: a table, or one JSON object a line; and what goes on meanwhile, on a terminal.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::measure::Measured;

/// The output, row by row.
pub(crate) struct Report {
    json: bool,
    spinner: ProgressBar,
    rows: usize,
    failed: bool,
}

/// One transport.
#[derive(Serialize)]
struct Row<'a> {
    transport: &'a str,
    ok: bool,
    calls: u64,
    p50_ns: u64,
    p99_ns: u64,
    mb_per_s: f64,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        let target = if !json && io::stdout().is_terminal() {
            ProgressDrawTarget::stdout()
        } else {
            ProgressDrawTarget::hidden()
        };
        let spinner = ProgressBar::with_draw_target(None, target);
        spinner.set_style(ProgressStyle::default_spinner());
        Self { json, spinner, rows: 0, failed: false }
    }

    /// Shows what goes on. Nothing is shown where the output is no terminal.
    pub(crate) fn progress(&self, transport: &str, measured: &Measured) {
        if !self.spinner.is_hidden() {
            self.spinner.set_message(match measured.calls {
                0 => format!("{transport}: starting"),
                calls => format!("{transport}: {calls} calls"),
            });
            self.spinner.tick();
        }
    }

    /// Prints the row of a transport; with `failure`, if there is one, on the standard error.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub(crate) fn row(
        &mut self,
        transport: &str,
        measured: &Measured,
        failure: Option<&str>,
    ) -> io::Result<()> {
        let row = Row {
            transport,
            ok: failure.is_none(),
            calls: measured.calls,
            p50_ns: measured.quantile_ns(0.50),
            p99_ns: measured.quantile_ns(0.99),
            mb_per_s: (measured.mb_per_s() * 1e3).round() / 1e3,
        };
        self.failed |= !row.ok;
        self.rows += 1;
        self.spinner.suspend(|| {
            let mut out = io::stdout().lock();
            if self.json {
                row.write_json(&mut out)?
            } else {
                row.write(&mut out, self.rows == 1)?
            }
            out.flush()
        })?;
        if let Some(failure) = failure {
            eprintln!("tour: {transport}: {failure}");
        }
        Ok(())
    }

    pub(crate) fn exit_code(self) -> ExitCode {
        if self.failed || self.rows == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
    }
}

impl Row<'_> {
    fn write(&self, out: &mut impl Write, is_first: bool) -> io::Result<()> {
        if is_first {
            writeln!(out, "transport    calls   p50 us   p99 us     MB/s  ok")?;
        }
        let Self { transport, ok, calls, p50_ns, p99_ns, mb_per_s } = *self;
        let [p50, p99] = [p50_ns, p99_ns].map(|ns| ns as f64 / 1e3);
        let ok = if ok { "ok" } else { "FAILED" };
        writeln!(out, "{transport:9} {calls:8} {p50:8.1} {p99:8.1} {mb_per_s:8.1}  {ok}")
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }
}
