//! CPUs, CPU time and memory of a process.

use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Pin;

/// The CPU for one side, if it is to have one: the client the first that this process may use, the server the
/// same or the second.
pub(crate) fn choose(pin: Pin, server: bool) -> Result<Option<usize>, String> {
    let nth = match pin {
        Pin::None => return Ok(None),
        Pin::Same => 0,
        Pin::Split => usize::from(server),
    };
    let cpu = usable()?.nth(nth);
    cpu.map(Some).ok_or_else(|| "there are not enough CPUs to pin to".to_owned())
}

/// The last CPU that this process may use.
pub(crate) fn last() -> Result<usize, String> {
    usable()?.last().ok_or_else(|| "there is no CPU".to_owned())
}

/// The CPUs that this process may use.
fn usable() -> Result<impl Iterator<Item = usize>, String> {
    let allowed =
        sched_getaffinity(Pid::from_raw(0)).map_err(|error| format!("CPU affinity: {error}"))?;
    Ok((0..CpuSet::count()).filter(move |cpu| allowed.is_set(*cpu).unwrap_or(false)))
}

/// Keeps this thread and its later threads on a CPU.
pub(crate) fn pin(cpu: Option<usize>) -> Result<(), String> {
    let Some(cpu) = cpu else { return Ok(()) };
    let mut one = CpuSet::new();
    one.set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &one))
        .map_err(|error| format!("pinning to CPU {cpu}: {error}"))
}

/// User and system time of a process, all threads; `None` is this one.
pub(crate) fn cpu_time(process: Option<u32>) -> Option<Duration> {
    let clock = match process {
        None => ClockId::CLOCK_PROCESS_CPUTIME_ID,
        Some(id) => clock_getcpuclockid(Pid::from_raw(id.cast_signed())).ok()?,
    };
    clock_gettime(clock).ok().map(Duration::from)
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
