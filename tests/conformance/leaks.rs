//! Point 6: afterwards nothing is left, counted in a process where nothing else goes on.

use std::fs;

use ipcall_core::transport::{Connector, Transport};

use crate::roles::Child;
use crate::subject::{Subject, accept};
use crate::waiting::{fill, read_exactly, read_some, write_all};

/// What a process holds: its descriptors with what they lead to, and how many threads it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    descriptors: Vec<String>,
    threads: usize,
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
        Self { descriptors, threads: fs::read_dir("/proc/self/task").unwrap().count() }
    }

    /// Once the threads that have ended are gone: one that was joined may be listed for a moment longer.
    fn settled(threads: usize) -> Self {
        while Self::now().threads > threads {
            std::thread::yield_now();
        }
        Self::now()
    }
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
    let (status, stderr) = Child::spawn("planted-leak", "").output();
    assert!(!status.success());
    assert!(stderr.contains("left == right"), "{stderr}");
    assert!(stderr.contains("/dev/null"), "{stderr}");
}

pub(crate) fn plant_a_leak() {
    let before = Holdings::now();
    std::mem::forget(fs::File::open("/dev/null").unwrap());
    assert_eq!(Holdings::now(), before);
}
