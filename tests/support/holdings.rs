//! What a process holds: descriptors, threads, memory.

use std::collections::BTreeSet;
use std::fs;

use super::system_v::SystemV;

/// Its descriptors with what they lead to, how many threads it has, in how many pairs of System V
/// message queues it was the last to receive (the keys of a pair differ in the last bit; of a server's one
/// queue that is always true, of the other only sometimes), and its other System V objects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) descriptors: Vec<String>,
    pub(crate) threads: usize,
    pub(crate) queues: usize,
    pub(crate) system_v: SystemV,
}

impl Holdings {
    /// Of this process.
    pub(crate) fn now() -> Self {
        Self::of(std::process::id())
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
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let tasks: Vec<_> =
            tasks.map(|task| task.unwrap().file_name().into_string().unwrap()).collect();
        let list = fs::read_to_string("/proc/sysvipc/msg").unwrap_or_default();
        let queues = list.lines().skip(1).filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let pair = fields[0].parse::<i32>().unwrap() >> 1;
            tasks.iter().any(|task| task == fields[6]).then_some(pair)
        });
        let queues = queues.collect::<BTreeSet<_>>().len();
        Self { descriptors, threads: tasks.len(), queues, system_v: SystemV::of(pid) }
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
