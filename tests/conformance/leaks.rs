//! Point 6: afterwards nothing is left, counted in a process where nothing else goes on.

use std::fs;

use ipcall_core::transport::{Connector, Transport};

use crate::roles::Child;
use crate::subject::{Subject, accept};
use crate::system_v::{SystemV, make_segment, remove_segment};
use crate::waiting::{fill, read_exactly, read_some, write_all};

/// What a process holds: its descriptors with what they lead to, how many threads it has, and what there is
/// in the system that it has used and that does not go with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    descriptors: Vec<String>,
    threads: usize,
    queues: Vec<u32>,
    system_v: SystemV,
}

impl Holdings {
    pub(crate) fn now() -> Self {
        let mut descriptors: Vec<String> = fs::read_dir("/proc/self/fd")
            .unwrap()
            .map(|entry| entry.unwrap().path())
            // The one that reads the directory is gone again by then.
            .filter_map(|path| Some((path.clone(), fs::read_link(path).ok()?)))
            .filter(|(_, target)| !target.to_string_lossy().ends_with("/fd"))
            .map(|(path, target)| format!("{} -> {}", path.display(), target.display()))
            .collect();
        descriptors.sort();
        let threads = fs::read_dir("/proc/self/task").unwrap().count();
        let queues = queues_of(&[std::process::id()]);
        Self { descriptors, threads, queues, system_v: SystemV::of("self") }
    }

    /// Once the threads that have ended are gone: one that was joined may be listed for a moment longer.
    fn settled(threads: usize) -> Self {
        while Self::now().threads > threads {
            std::thread::yield_now();
        }
        Self::now()
    }
}

/// The System V message queues in which one of these processes, or threads, was the last to send or to
/// receive. None where the kernel has none.
pub(crate) fn queues_of(processes: &[u32]) -> Vec<u32> {
    let list = fs::read_to_string("/proc/sysvipc/msg").unwrap_or_default();
    let (title, lines) = list.split_once('\n').unwrap_or_default();
    let place = |name| title.split_whitespace().position(|title| title == name).unwrap();
    let lines = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|fields| {
            let user = |name| fields[place(name)].parse().unwrap();
            processes.contains(&user("lspid")) || processes.contains(&user("lrpid"))
        })
        .map(|fields| fields[place("msqid")].parse().unwrap())
        .collect()
}

pub(crate) fn nothing_is_left(subject: &Subject) {
    let (status, stderr) = Child::spawn("audit", subject.scheme().name).output();
    assert!(status.success(), "{stderr}");
}

/// In a process of its own: everything that makes and ends connections, and what is there afterwards.
pub(crate) fn audit(scheme: &str) {
    let subject = Subject::new(scheme);
    let threads = Holdings::now().threads;
    // The first round may make what the process then keeps, such as a thread's memory.
    round(&subject);
    let before = Holdings::settled(threads);
    for _ in 0..10 {
        round(&subject);
    }
    assert_eq!(Holdings::settled(threads), before);
    assert!(subject.scratch().entries().is_empty());
    assert!(before.queues.is_empty(), "{before:?}");
}

fn round(subject: &Subject) {
    // Both ends, in each order of dropping the halves.
    for order in 0..4 {
        let (mut server, mut client) = subject.pair();
        write_all(&mut *client.writer, b"hello");
        assert_eq!(read_exactly(&mut *server.reader, 5), b"hello");
        let Transport { reader, writer, .. } = if order < 2 { server } else { client };
        if order % 2 == 0 {
            drop((reader, writer));
        } else {
            drop(writer);
            drop(reader);
        }
    }
    // Bytes on their way in both directions.
    let (mut server, mut client) = subject.pair();
    fill(&mut *server.writer, |_| vec![0; 10_000]);
    fill(&mut *client.writer, |_| vec![0; 10_000]);
    drop((server, client));
    // A name taken twice, clients not accepted, clients without a server.
    let (mut listener, endpoint) = subject.endpoint("leaks").bind_resolved().unwrap();
    endpoint.bind_resolved().map(drop).unwrap_err();
    let waiting = [endpoint.try_connect().unwrap(), endpoint.try_connect().unwrap()];
    drop(accept(&mut *listener));
    drop(listener);
    for mut client in waiting {
        // Reset or ended, whichever its transport says.
        let _ = read_some(&mut *client.reader, &mut Vec::new(), 1);
    }
    endpoint.try_connect().unwrap_err();
}

/// The detector detects.
#[test]
fn a_planted_leak_is_found() {
    for (what, shown) in [("descriptor", "/dev/null"), ("segment", "segments: 1")] {
        let (status, stderr) = Child::spawn("planted-leak", what).output();
        assert!(!status.success());
        assert!(stderr.contains("left == right"), "{stderr}");
        assert!(stderr.contains(shown), "{stderr}");
    }
}

pub(crate) fn plant_a_leak(what: &str) {
    let before = Holdings::now();
    let segment = (what == "segment").then(make_segment);
    std::mem::forget((what == "descriptor").then(|| fs::File::open("/dev/null").unwrap()));
    let after = Holdings::now();
    // It would stay when the process has ended.
    segment.into_iter().for_each(remove_segment);
    assert_eq!(after, before);
}
