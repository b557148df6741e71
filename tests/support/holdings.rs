//! What a process holds: descriptors, threads, memory.

use std::fs;

use super::system_v::SystemV;

/// Its descriptors with what they lead to, how many threads it has, and its System V objects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) descriptors: Vec<String>,
    pub(crate) threads: usize,
    pub(crate) system_v: SystemV,
}

impl Holdings {
    /// Of this process.
    pub(crate) fn now() -> Self {
        Self::of("self")
    }

    /// Of the process with this id.
    pub(crate) fn of(pid: impl std::fmt::Display) -> Self {
        let mut descriptors: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            // The one that reads the directory is gone again by then.
            .filter_map(|path| Some((path.clone(), fs::read_link(path).ok()?)))
            .filter(|(_, target)| !target.to_string_lossy().ends_with("/fd"))
            .map(|(path, target)| format!("{} -> {}", path.display(), target.display()))
            .collect();
        descriptors.sort();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
        Self { descriptors, threads, system_v: SystemV::of(pid) }
    }
}

/// The most memory that the process has had resident, in bytes.
pub(crate) fn peak_memory(pid: u32) -> usize {
    memory(pid, "VmHWM:")
}

/// The memory that the process has resident, in bytes.
pub(crate) fn resident_memory(pid: u32) -> usize {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, key: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux says this");
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib << 10
}

/// Whether there is such a process, dead ones that nobody has asked about included.
pub(crate) fn is_there(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}
