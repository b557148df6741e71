//! A server under attack, as the test sees it, and the honest client beside the attacker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipcall::{ConnectOptions, Endpoint, Limits};
use ipcall_core::protocol::hello::Hello;

use crate::server::{Counts, End, Orders, Report, serve};
use crate::support::holdings::peak_memory;
use crate::support::raw::{Raw, number};
use crate::support::role::{Control, Process};
use crate::support::subject::with;
use crate::support::{Subject, over_every_scheme};
use crate::target::TargetBlockingClient;

/// What a server may have had resident, in bytes, unless a test says otherwise: it starts with a tenth of
/// that.
pub(crate) const MEMORY: usize = 96 << 20;

/// How much longer than needed the honest client is ready to wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, and an honest client of it that calls all the time.
pub(crate) struct Victim {
    endpoint: Endpoint,
    server: Host,
    ended: VecDeque<End>,
    honest: Honest,
    /// See [`MEMORY`].
    pub(crate) memory: usize,
    /// Which ends of connections need not be asked about: those that may be reported at any time.
    pub(crate) tolerates: fn(&End) -> bool,
}

enum Host {
    Process(Process),
    /// For transports within one process.
    Thread(Control, Option<JoinHandle<()>>),
}

/// Attacks a server of each kind over each transport.
pub(crate) fn attack(orders: &Orders, attack: impl Fn(&mut Victim)) {
    attack_one_of(&[false, true], orders, attack);
}

/// The same for servers in a runtime only, which run the calls of one connection concurrently.
pub(crate) fn attack_concurrent(orders: &Orders, attack: impl Fn(&mut Victim)) {
    attack_one_of(&[false], orders, attack);
}

/// The same for servers that have a process of their own.
pub(crate) fn attack_processes(orders: &Orders, attack: impl Fn(&mut Victim)) {
    over_every_scheme(|subject| {
        if !subject.is_in_process() {
            attack_at(subject, &[false, true], orders, &attack);
        }
    });
}

fn attack_one_of(threads: &[bool], orders: &Orders, attack: impl Fn(&mut Victim)) {
    over_every_scheme(|subject| attack_at(subject, threads, orders, &attack));
}

fn attack_at(subject: &Subject, threads: &[bool], orders: &Orders, attack: impl Fn(&mut Victim)) {
    for &threads in threads {
        println!("  {}", if threads { "threads" } else { "tasks" });
        let uri = subject.endpoint().uri().to_owned();
        let orders = Orders { uri, threads, ..orders.clone() };
        let mut victim = Victim::start(&orders, subject.is_in_process());
        attack(&mut victim);
        victim.finish();
    }
}

impl Victim {
    fn start(orders: &Orders, in_process: bool) -> Self {
        let text = serde_json::to_string(orders).unwrap();
        let mut server = if in_process {
            let (ours, theirs) = Control::pair();
            Host::Thread(ours, Some(thread::spawn(move || serve(&text, theirs))))
        } else {
            Host::Process(Process::start("server", &text))
        };
        let ready = server.report();
        assert!(matches!(ready, Report::Ready), "{ready:?}");
        let endpoint = orders.endpoint();
        // It is as patient as anyone.
        let honest =
            Honest::start(&with(&endpoint, |settings| settings.limits = Limits::default()));
        Self {
            endpoint,
            server,
            ended: VecDeque::new(),
            honest,
            memory: MEMORY,
            tolerates: |_| false,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A connection on which nothing was said.
    pub(crate) fn raw(&self) -> Raw {
        Raw::connect(&self.endpoint)
    }

    /// A connection after the handshake.
    pub(crate) fn greeted(&self) -> (Raw, Hello) {
        Raw::greeted(&self.endpoint)
    }

    /// A connection after the handshake, and the number of a method.
    pub(crate) fn caller(&self, method: &str) -> (Raw, u16) {
        let (raw, hello) = self.greeted();
        let number = number(&hello, method);
        (raw, number)
    }

    /// How the next connection ended of those that did not in order.
    pub(crate) fn end(&mut self) -> End {
        if let Some(end) = self.ended.pop_front() {
            return end;
        }
        match self.server.report() {
            Report::Ended(end) => end,
            other => panic!("the end of a connection is wanted, not {other:?}"),
        }
    }

    /// Checks how the next connection ended.
    #[track_caller]
    pub(crate) fn assert_end(&mut self, kind: &str, text: &str) {
        let end = self.end();
        assert!(end.kind == kind && end.text.contains(text), "{end:?}, not {kind} with {text:?}");
        let uri = self.endpoint.uri();
        assert!(end.text.starts_with(uri), "it happened at {uri}: {end:?}");
    }

    pub(crate) fn counts(&mut self) -> Counts {
        self.server.control().say("counts");
        loop {
            match self.server.report() {
                Report::Counts(counts) => return counts,
                Report::Ended(end) => self.ended.push_back(end),
                Report::Ready => panic!("it was ready before"),
            }
        }
    }

    /// How connections have ended by now, of those that did not in order and were not asked about.
    pub(crate) fn ends_so_far(&mut self) -> Vec<End> {
        self.counts();
        self.ended.drain(..).collect()
    }

    /// Waits until the honest client has made another few calls.
    pub(crate) fn goes_on(&self) {
        self.honest.goes_on();
    }

    /// Stops both, and looks whether all was well.
    fn finish(mut self) {
        self.goes_on();
        self.honest.stop();
        self.ended.retain(|end| !(self.tolerates)(end));
        assert!(self.ended.is_empty(), "{:?}", self.ended);
        if let Host::Process(process) = &self.server {
            let peak = peak_memory(process.id());
            assert!(peak < self.memory, "{} MiB were resident", peak >> 20);
        }
        self.server.control().say("stop");
        // It also tells of those whom it still says goodbye to, and must not wait for somebody to hear that.
        while self.server.control().hear().is_some() {}
        match self.server {
            Host::Process(process) => assert!(process.wait().success(), "see above"),
            Host::Thread(_, thread) => thread.into_iter().for_each(|thread| thread.join().unwrap()),
        }
    }
}

impl Host {
    fn control(&mut self) -> &mut Control {
        match self {
            Self::Process(process) => &mut process.control,
            Self::Thread(control, _) => control,
        }
    }

    fn report(&mut self) -> Report {
        let line = self.control().hear().expect("the server has ended");
        serde_json::from_str(&line).unwrap()
    }
}

/// A client that calls in a loop, and must never notice anything.
struct Honest {
    stop: Arc<AtomicBool>,
    calls: Arc<std::sync::atomic::AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Honest {
    fn start(endpoint: &Endpoint) -> Self {
        let options = ConnectOptions::new().deadline(PATIENCE);
        let client = TargetBlockingClient::connect_with(endpoint, &options).unwrap();
        let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::default());
        let (stopped, counted): (_, Arc<std::sync::atomic::AtomicU64>) =
            (Arc::clone(&stop), Arc::clone(&calls));
        let call = move || {
            let text = "x".repeat(300);
            while !stopped.load(Ordering::Relaxed) {
                let number = counted.fetch_add(1, Ordering::Relaxed);
                assert_eq!(client.add(number, 1).unwrap(), number + 1);
                assert_eq!(client.text(&text).unwrap(), 300);
                // The attack is to have most of the machine.
                thread::yield_now();
            }
        };
        Self { stop, calls, thread: Some(thread::spawn(call)) }
    }

    fn goes_on(&self) {
        let before = self.calls.load(Ordering::Relaxed);
        crate::support::waiting::until(|| {
            let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(!ended, "the honest client has noticed something");
            self.calls.load(Ordering::Relaxed) > before + 2
        });
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
