//! The client's side: finding the server, coming in, and the thread that receives the replies.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use ipcall_core::transport::{Peer, Transport};
use ipcall_core::{ErrorKind, RpcError};
use nix::sys::signal::SigSet;
use nix::unistd::geteuid;

use super::books::Side;
use super::credit::{SLOTS, Sizes};
use super::frame::{
    FIRST_RETURN_ADDRESS, Header, Hello, LOBBY, Purpose, Refusal, VERSION, Welcome,
};
use super::link::{self, Link, Owner, halves};
use super::queues::{self, Keys, MAX_PAIRS, Queues};
use super::state::{Change, Route, is_closing};
use super::{TITLE, random};
use crate::key_file::{Address, Record};
use crate::process::Process;
use crate::sys::message_queue::{Kind, Message, Which};

/// A server that has not taken a message for this long, although there are many, does not keep up.
const PATIENCE: Duration = Duration::from_secs(2);

/// The stack of the thread that receives: it calls nothing deep.
const STACK: usize = 128 << 10;

/// Connects: says hello. The halves answer `WouldBlock` until the server has answered.
pub(crate) fn connect(address: &Address) -> Result<Transport, RpcError> {
    let (record, server, keys, door) = find(address)?;
    let mut peer = Peer::default();
    peer.pid = Some(record.pid);
    peer.uid = Some(geteuid().as_raw());
    peer.known_by = "key file";
    peer.pidfd = server.pidfd();

    let making = |error| RpcError::io("making an end of a connection", error);
    let return_address = FIRST_RETURN_ADDRESS | (random() as Kind & (FIRST_RETURN_ADDRESS - 1));
    let link = Link::new(server, random(), Side::Client, Some((door.reply, return_address)));
    let link = Arc::new(link.map_err(making)?);
    let receiver = Receiver { link: Arc::clone(&link), keys, door, return_address };
    let thread = thread::Builder::new()
        .name("ipcall-sysv-mq".to_owned())
        .stack_size(STACK)
        .spawn(move || receiver.run())
        .map_err(making)?;
    let end = End { link, thread: Some(thread), door, return_address };
    say_hello(&record, door, return_address).map_err(|error| explain(&error, address))?;
    let (reader, writer) = halves(end);
    Ok(Transport { reader, writer, peer })
}

/// The server that lives at `address`, and its first pair of queues.
fn find(address: &Address) -> Result<(Record, Process, Keys, Queues), RpcError> {
    let (record, process) = address.find(TITLE)?;
    let keys = Keys::from_first(record.key);
    let Some((keys, door)) = keys.and_then(|keys| Some((keys, Queues::open(keys, 0)?))) else {
        let path = address.path.display();
        return Err(absent(format!("the server of the key file {path} has no queues now")));
    };
    Ok((record, process, keys, door))
}

fn absent(detail: String) -> RpcError {
    RpcError::not_executed(ErrorKind::ServerAbsent { detail })
}

fn say_hello(record: &Record, door: Queues, return_address: Kind) -> io::Result<()> {
    let status = door.request.status()?;
    let received = u64::try_from(status.received_at).unwrap_or(0);
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(received))
        .unwrap_or_default();
    // Its other clients need the rest, when it goes on.
    if status.bytes > status.capacity / 2 && since > PATIENCE {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let hello = Hello {
        start: record.start,
        return_address: return_address as u64,
        pid: std::process::id(),
        version: VERSION,
    };
    let header = Header::bare(0, Purpose::Hello);
    link::send(door.request, LOBBY, header, &hello.to_bytes())
}

fn explain(error: &io::Error, address: &Address) -> RpcError {
    let path = address.path.display();
    match error.kind() {
        io::ErrorKind::WouldBlock => absent(format!(
            "its request queue is full: the server of the key file {path} does not take its messages"
        )),
        _ => absent(format!("the server of the key file {path} has just ended ({error})")),
    }
}

/// A client's end of a connection.
struct End {
    link: Arc<Link>,
    thread: Option<JoinHandle<()>>,
    door: Queues,
    return_address: Kind,
}

impl Owner for End {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let route = self.link.change_state(|state| {
            // Also where the halves never were: then it has not come in, and will not.
            state.close();
            state.route()
        });
        let marked = self.link.mark();
        if let Some(thread) = self.thread.take()
            && marked
        {
            // It does not panic; if it did, it is not there any more, which is all that is wanted.
            let _ = thread.join();
        }
        // Without room for a mark, which only somebody else can have taken, the thread is left alone. It
        // ends with the queue.
        if route.is_none() {
            // Only now, because whoever says that it has gone may have all its messages taken away.
            let header = Header::bare(0, Purpose::Leave);
            let number = (self.return_address as u64).to_le_bytes();
            // If that cannot be told, the server finds out when this process ends.
            let _ = link::send(self.door.request, LOBBY, header, &number);
        }
        self.clean_up(self.door, self.return_address);
        if let Some(Route { sending, receiving, kind, .. }) = route {
            self.clean_up(Queues { request: sending, reply: receiving }, kind);
        }
    }
}

impl End {
    /// Takes out what is left for this end. A server that has ended before it was read has left the rest
    /// to its clients.
    fn clean_up(&self, queues: Queues, kind: Kind) {
        queues::drain(queues.reply, kind);
        let killed = self.link.peer().has_ended();
        if killed || is_closing(queues.request) {
            queues::remove_if_read(queues, killed);
        }
    }
}

/// What the thread of a client's end works with.
struct Receiver {
    link: Arc<Link>,
    keys: Keys,
    door: Queues,
    return_address: Kind,
}

/// Where to receive next.
enum Next {
    Here,
    /// In these queues, as the owner of this kind.
    At(Queues, Kind),
    Nowhere,
}

impl Receiver {
    fn run(self) {
        // Signals are for threads that the program knows of.
        let _ = SigSet::all().thread_block();
        let mut message = Message::new();
        let (mut queue, mut kind) = (self.door.reply, self.return_address);
        loop {
            let length = match queue.receive(&mut message, Which::Kind(kind), true) {
                Ok(length) => length,
                Err(error) => {
                    return self.link.deafen(Some(&format!("receiving from its queue: {error}")));
                }
            };
            let Some((header, bytes)) = message.received(length).and_then(Header::split) else {
                continue;
            };
            match self.take(header, bytes) {
                Next::Here => {}
                Next::At(queues, id) => {
                    // A mark may have been sent here just before.
                    while let Ok(length) = queue.receive(&mut message, Which::Kind(kind), false) {
                        if let Some((header, bytes)) =
                            message.received(length).and_then(Header::split)
                            && header.purpose == Purpose::Mark
                            && matches!(self.take(header, bytes), Next::Nowhere)
                        {
                            return;
                        }
                    }
                    (queue, kind) = (queues.reply, id);
                }
                Next::Nowhere => return,
            }
        }
    }

    fn take(&self, header: Header, bytes: &[u8]) -> Next {
        match header.purpose {
            Purpose::Stream => match self.link.receive(header, bytes) {
                // Nothing more comes, whether or not the owner has read all that has.
                Change::Left => self.stop(),
                Change::None | Change::Stray => Next::Here,
            },
            Purpose::Mark if self.link.is_mark(bytes) => {
                if self.link.peer().has_ended() {
                    self.link.bury();
                    return self.stop();
                }
                if self.link.change_state(|state| state.is_closed()) {
                    self.stop()
                } else {
                    Next::Here
                }
            }
            Purpose::Welcome => match Welcome::from_bytes(bytes) {
                Some(welcome) => self.come_in(&welcome),
                None => Next::Here,
            },
            Purpose::Refusal => match Refusal::from_bytes(bytes) {
                Some(refusal) => {
                    self.link.fail(io::ErrorKind::ConnectionRefused, refused(refusal));
                    self.stop()
                }
                None => Next::Here,
            },
            Purpose::Mark | Purpose::Hello | Purpose::Leave | Purpose::Answer => Next::Here,
        }
    }

    fn come_in(&self, welcome: &Welcome) -> Next {
        let queues = match welcome.pair {
            0 => Some(self.door),
            pair => Queues::open(self.keys, pair),
        };
        let id = Kind::try_from(welcome.id).ok().filter(|id| *id > LOBBY);
        let (Some(queues), Some(id)) = (queues, id) else {
            self.link
                .fail(io::ErrorKind::ConnectionReset, "it was welcomed to queues that are gone");
            return Next::Here;
        };
        let route =
            Route { sending: queues.request, receiving: queues.reply, kind: id, tag: welcome.tag };
        let sizes = Sizes {
            base: welcome.base.into(),
            // These are the server's business.
            pool: 0,
            window: 0,
            message: welcome.message.into(),
        };
        let open = self.link.open_unless_closed(route, sizes, Some(welcome.challenge));
        if open { Next::At(queues, id) } else { Next::Here }
    }

    /// Receives nothing more, and says so: from then on the server takes back what it has sent here.
    fn stop(&self) -> Next {
        self.link.deafen(None);
        self.link.change_state(|state| state.leave());
        Next::Nowhere
    }
}

fn refused(refusal: Refusal) -> String {
    match refusal {
        Refusal::Gone => "the server has just stopped listening".to_owned(),
        Refusal::Full => format!(
            "the server has {} connections, and has no queues for more",
            usize::from(MAX_PAIRS) * SLOTS
        ),
        Refusal::NoDescriptor => "the server has no descriptor left for a connection".to_owned(),
        Refusal::NoQueue => "the server cannot make queues for a further connection; \
                             kernel.msgmni limits how many there are"
            .to_owned(),
        Refusal::Version => "the server speaks another version of this transport".to_owned(),
    }
}
