//! System V objects as the kernel lists them: segments and sets of semaphores of one process.

use std::fmt::Display;
use std::fs;

use nix::libc;

/// What a process has of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SystemV {
    /// Segments that it has attached, as often as it has, whoever has made them.
    attached: usize,
    /// Segments that it has made, attached or not.
    segments: usize,
    /// Sets in which it was the last to set the second semaphore, which only their makers do.
    sets: usize,
}

impl SystemV {
    pub(crate) fn of(pid: impl Display) -> Self {
        let pid = pid.to_string();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let pid = if pid == "self" { std::process::id().to_string() } else { pid };
        let made = |line: &Vec<String>| line[4] == pid;
        let set = |line: &Vec<String>| owner(line[1].parse().unwrap()).to_string() == pid;
        Self {
            attached: maps.lines().filter(|line| line.contains("/SYSV")).count(),
            segments: listed("shm").iter().filter(|line| made(line)).count(),
            sets: listed("sem").iter().filter(|line| set(line)).count(),
        }
    }

    /// Whether it has none, nor has left any.
    pub(crate) fn is_empty(&self) -> bool {
        (self.attached, self.segments, self.sets) == (0, 0, 0)
    }
}

/// The fields of each object in a list of the kernel's.
fn listed(list: &str) -> Vec<Vec<String>> {
    let list = fs::read_to_string(format!("/proc/sysvipc/{list}")).unwrap_or_default();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    list.lines().skip(1).map(fields).collect()
}

fn owner(set: libc::c_int) -> libc::c_int {
    // SAFETY: this command takes numbers only.
    unsafe { libc::semctl(set, 1, libc::GETPID) }
}

/// Makes a segment that stays until [`remove_segment`] removes it.
pub(crate) fn make_segment() -> libc::c_int {
    // SAFETY: the call takes numbers only.
    let id = unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, libc::IPC_CREAT | 0o600) };
    assert!(id >= 0, "{}", std::io::Error::last_os_error());
    id
}

pub(crate) fn remove_segment(id: libc::c_int) {
    // SAFETY: this command takes no buffer.
    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
}
