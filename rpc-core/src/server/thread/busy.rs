//! One thread for all connections, on a CPU of its own: it never sleeps while there are any, and asks one
//! after the other whether something has come. A call then costs neither side a system call where the
//! transport needs none.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tokio::runtime::Handle;

use super::Seat;
use super::connection::{Connection, Turn};
use crate::error::RpcError;
use crate::server::end::End;

/// Rounds after which new connections are looked for.
const ROUNDS: u32 = 64;

/// Gives connections to the thread. It ends when all of these are gone, and all connections.
#[derive(Clone)]
pub(super) struct Busy(Sender<Client>);

struct Client {
    connection: Connection,
    seat: Seat,
}

impl Busy {
    /// Starts the thread. Handlers find the runtime there in which this is called, if any.
    ///
    /// # Errors
    /// When this process may not run on that CPU, or can have no further thread.
    pub(super) fn start(cpu: usize) -> Result<Self, RpcError> {
        let (sender, arrivals) = mpsc::channel();
        let (pinned, is_pinned) = mpsc::sync_channel(1);
        let runtime = Handle::try_current().ok();
        let run = move || {
            let result = pin(cpu);
            let goes_on = result.is_ok();
            // Whoever started it waits for this.
            let _ = pinned.send(result);
            let _runtime = runtime.as_ref().map(Handle::enter);
            if goes_on {
                serve(&arrivals);
            }
        };
        thread::Builder::new()
            .name("ipcall-busy".to_owned())
            .spawn(run)
            .map_err(|error| RpcError::io("starting the thread that never sleeps", error))?;
        let pinned = is_pinned.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()));
        let doing = || format!("having CPU {cpu} for the thread that never sleeps");
        pinned.map_err(|error| RpcError::io(doing(), error))?;
        Ok(Self(sender))
    }

    /// Has it serve a client from now on.
    pub(super) fn take_over(&self, connection: Connection, seat: Seat) {
        // It is there for as long as this is.
        let _ = self.0.send(Client { connection, seat });
    }
}

fn pin(cpu: usize) -> std::io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &cpus)?;
    Ok(())
}

/// The thread.
fn serve(arrivals: &Receiver<Client>) {
    let mut clients = Vec::new();
    loop {
        if clients.is_empty() {
            match arrivals.recv() {
                Ok(first) => clients.push(first),
                Err(_nobody_can_come) => return,
            }
        }
        clients.extend(arrivals.try_iter());
        for _ in 0..ROUNDS {
            serve_once(&mut clients);
        }
    }
}

/// Gives each client a turn.
#[inline]
fn serve_once(clients: &mut Vec<Client>) {
    let mut idle = true;
    let mut index = 0;
    while let Some(client) = clients.get_mut(index) {
        match client.connection.poll() {
            Ok(Turn::Over) => drop(clients.swap_remove(index)),
            Ok(turn) => {
                idle &= turn == Turn::Idle;
                index += 1;
            }
            Err(end) => clients.swap_remove(index).end(end),
        }
    }
    if idle {
        std::hint::spin_loop();
    }
}

impl Client {
    /// Lets it go without keeping the others waiting for that.
    fn end(self, end: End) {
        let Self { connection, seat } = self;
        let run = move || seat.end(connection, Err(end));
        // Without a thread it goes without a word.
        let _ = thread::Builder::new().name("ipcall-connection".to_owned()).spawn(run);
    }
}
