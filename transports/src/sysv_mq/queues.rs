//! The queues of a server: made, found again, checked, and removed.
//!
//! A queue is known by a key, which the key file gives away before the queue is made: so whatever a
//! killed server was doing, the next one finds what it left. (With `IPC_PRIVATE` a server that is killed
//! between making a queue and noting its id leaves one that nobody can tell from another program's.)
//!
//! Keys: 12 bits say that it is ours, 13 are random for each start, 6 are the number of the pair, and the last
//! says which direction. Beside that, a queue of ours shows by its owner and creator, its mode 0600, and
//! its capacity, which leaves a remainder of 41 when divided by 64, or is 0 while its server is ending.
//!
//! Whether its server lives shows by the process that last received from the request queue, which the
//! kernel notes: nobody but the server does, and it does so as soon as it has made it. A pair is made
//! request queue first, and removed in the same order: a reply queue without the other is a leftover.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::credit::Sizes;
use super::frame::LOBBY;
use crate::process::Process;
use crate::sys::message_queue::{Kind, Message, Queue, Status, Which};

/// Pairs of queues that a server may have.
pub(super) const MAX_PAIRS: u8 = 64;

const OURS: i32 = 0x1bc;
const OURS_SHIFT: u32 = 20;
const START_SHIFT: u32 = 7;

/// What the capacity of a queue of ours leaves when it is divided by [`DIVISOR`].
const REMAINDER: u64 = 41;
const DIVISOR: u64 = 64;
/// Larger queues are of no use to us.
const LARGEST: u64 = 256 << 10;

/// The longest message where the kernel does not say (`MSGMAX`).
const USUAL_LONGEST: usize = 8192;

/// A reply queue that a server has left behind is still read by its clients for a moment. After this long
/// they have gone.
const MOMENT: Duration = Duration::from_secs(10);

/// Messages that a queue can hold at most; to have an end where somebody else fills it all the time.
const MANY: usize = 1 << 16;

/// The keys of the queues of one start of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys(i32);

/// The two queues that some connections share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queues {
    pub(super) request: Queue,
    pub(super) reply: Queue,
}

impl Keys {
    /// Keys that `random` chooses.
    pub(super) fn new(random: u64) -> Self {
        let start = i32::try_from(random % 0x2000).expect("it is less than 2^13");
        Self(OURS << OURS_SHIFT | start << START_SHIFT)
    }

    /// As it stands in the key file.
    pub(super) fn first(self) -> i32 {
        self.0
    }

    /// The keys of which this is the first, if it can be.
    pub(super) fn from_first(first: i32) -> Option<Self> {
        let is_ours = first >> OURS_SHIFT == OURS && first.trailing_zeros() >= START_SHIFT;
        is_ours.then_some(Self(first))
    }

    fn request(self, pair: u8) -> i32 {
        self.0 | i32::from(pair % MAX_PAIRS) << 1
    }

    fn reply(self, pair: u8) -> i32 {
        self.request(pair) | 1
    }
}

impl Queues {
    /// Makes the queues of pair `pair`, and shares them out.
    ///
    /// # Errors
    /// `AlreadyExists` when the keys are taken, `Unsupported` when the kernel's limits are too low for
    /// this, and those of `msgget(2)`.
    pub(super) fn create(keys: Keys, pair: u8) -> io::Result<(Self, Sizes)> {
        let request = Fresh::create(keys.request(pair))?;
        request.stamp()?;
        let reply = Fresh::create(keys.reply(pair))?;
        let capacity = usize::try_from(request.capacity).unwrap_or(usize::MAX);
        let sizes = Sizes::of(capacity, longest_message())
            .map_err(|why| io::Error::new(io::ErrorKind::Unsupported, why))?;
        Ok((Self { request: request.keep(), reply: reply.keep() }, sizes))
    }

    /// Finds those of pair `pair`, if they are there and are ours. Somebody else may have a queue with such
    /// a key, and then the server is just about to choose others.
    pub(super) fn open(keys: Keys, pair: u8) -> Option<Self> {
        let find = |key| {
            let (queue, status) = look_at(key)?;
            is_ours(&status, key).then_some(queue)
        };
        Some(Self { request: find(keys.request(pair))?, reply: find(keys.reply(pair))? })
    }
}

/// A queue that was just made, and is removed again unless it is kept.
struct Fresh {
    queue: Queue,
    capacity: u64,
    kept: bool,
}

impl Fresh {
    fn create(key: i32) -> io::Result<Self> {
        let mut fresh = Self { queue: Queue::create(key)?, capacity: 0, kept: false };
        let most = fresh.queue.status()?.capacity.min(LARGEST);
        fresh.capacity = most - (most + DIVISOR - REMAINDER) % DIVISOR;
        fresh.queue.set_capacity(fresh.capacity)?;
        Ok(fresh)
    }

    /// Has the kernel note that this process receives from it.
    fn stamp(&self) -> io::Result<()> {
        let mut message = Message::new();
        message.set_kind(LOBBY);
        self.queue.send(&message, 0)?;
        self.queue.receive(&mut message, Which::Kind(LOBBY), false)?;
        Ok(())
    }

    fn keep(mut self) -> Queue {
        self.kept = true;
        self.queue
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.kept {
            let _ = self.queue.remove();
        }
    }
}

/// Whether a queue with this status is one of ours, known by `key`.
fn is_ours(status: &Status, key: i32) -> bool {
    is_own(status, key) && (status.capacity % DIVISOR == REMAINDER || status.capacity == 0)
}

/// Whether it is one of the own user alone, known by `key`.
fn is_own(status: &Status, key: i32) -> bool {
    let own = geteuid().as_raw();
    (status.owner, status.creator, status.mode, status.key) == (own, own, 0o600, key)
}

/// Whether an error says that there is no such queue.
fn is_gone(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::EINVAL | Errno::EIDRM))
}

/// The longest message that the kernel takes, in bytes.
fn longest_message() -> usize {
    let known = fs::read_to_string("/proc/sys/kernel/msgmax");
    known.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL_LONGEST)
}

/// Takes all messages of `kind` out of `queue`, and drops them.
pub(super) fn drain(queue: Queue, kind: Kind) {
    let mut message = Message::new();
    for _ in 0..MANY {
        if queue.receive(&mut message, Which::Kind(kind), false).is_err() {
            return;
        }
    }
}

/// Removes what the server has left that had these keys, and whose key file was found without a living one.
pub(super) fn remove_leftovers(keys: Keys) {
    for pair in 0..MAX_PAIRS {
        remove_pair_if_left(keys.request(pair), Found::ByItsKeyFile);
    }
}

/// Removes what servers of this user have left that had given up their names before they were killed.
pub(super) fn sweep() {
    // A kernel that does not list them leaves them where they are.
    let Ok(list) = fs::read_to_string("/proc/sysvipc/msg") else { return };
    for line in list.lines().skip(1) {
        if let Some(key) = line.split_whitespace().next().and_then(|key| key.parse::<i32>().ok())
            && key >> OURS_SHIFT == OURS
        {
            remove_pair_if_left(key & !1, Found::InTheList);
        }
    }
}

/// How a queue came to notice that may be a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Its server is known to have ended, at whatever instruction.
    ByItsKeyFile,
    /// Its server may live, and be just making it.
    InTheList,
}

impl Found {
    fn is_ours(self, status: &Status, key: i32) -> bool {
        let newborn = (status.sent_at, status.receiver, status.messages) == (0, 0, 0);
        is_ours(status, key) || (self == Self::ByItsKeyFile && newborn && is_own(status, key))
    }

    /// Whether the process that receives from this request queue may live.
    fn may_live(self, status: &Status) -> bool {
        match Process::open(status.receiver) {
            // Nobody has received yet.
            _ if status.receiver == 0 && status.received_at == 0 => self == Self::InTheList,
            // The kernel does not show who: somebody of another pid namespace.
            _ if status.receiver == 0 => true,
            Ok(Some(process)) => !process.has_ended(),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Whether nobody can still want to read these replies.
    fn are_forgotten(self, replies: &Status) -> bool {
        let sent = Duration::from_secs(replies.sent_at.try_into().unwrap_or(0));
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + sent);
        replies.messages == 0 || self == Self::ByItsKeyFile || age.is_ok_and(|age| age > MOMENT)
    }
}

/// Looks at the pair whose request queue has this key. What is to be removed may be gone meanwhile.
fn remove_pair_if_left(request: i32, found: Found) {
    if let Some((queue, status)) = look_at(request) {
        if !found.is_ours(&status, request) || found.may_live(&status) {
            return;
        }
        let _ = queue.remove();
    }
    if let Some((queue, status)) = look_at(request | 1)
        && found.is_ours(&status, request | 1)
        && found.are_forgotten(&status)
        // Looked for once more: a pair that is just being made has its request queue first.
        && Queue::find(request).is_err_and(|error| is_gone(&error))
    {
        let _ = queue.remove();
    }
}

fn look_at(key: i32) -> Option<(Queue, Status)> {
    let queue = Queue::find(key).ok()?;
    Some((queue, queue.status().ok()?))
}

/// Removes a pair whose server has ended, unless other clients still have something to read in it. `killed`
/// says that it had no time to remove its request queue.
pub(super) fn remove_if_read(queues: Queues, killed: bool) {
    if queues.reply.status().is_ok_and(|status| status.messages == 0) {
        if killed {
            let _ = queues.request.remove();
        }
        let _ = queues.reply.remove();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::super::random;
    use super::*;

    /// Removes what is left of the queues with these keys.
    struct Cleaner(Keys);

    impl Drop for Cleaner {
        fn drop(&mut self) {
            for key in [self.0.request(0), self.0.reply(0)] {
                if let Ok(queue) = Queue::find(key) {
                    let _ = queue.remove();
                }
            }
        }
    }

    fn keys() -> (Keys, Cleaner) {
        let keys = loop {
            let keys = Keys::new(random());
            if Queue::find(keys.request(0)).is_err() && Queue::find(keys.reply(0)).is_err() {
                break keys;
            }
        };
        (keys, Cleaner(keys))
    }

    fn are_there(keys: Keys) -> [bool; 2] {
        [keys.request(0), keys.reply(0)].map(|key| Queue::find(key).is_ok())
    }

    #[test]
    fn keys_are_known_again() {
        for random in [0, 1, 0x1fff, u64::MAX] {
            let keys = Keys::new(random);
            assert_eq!(Keys::from_first(keys.first()), Some(keys));
            assert_eq!(Keys::from_first(keys.first() | 1), None);
            assert_eq!(keys.request(MAX_PAIRS - 1) >> OURS_SHIFT, OURS);
            assert_eq!(keys.reply(MAX_PAIRS - 1), keys.first() | 0x7f);
        }
        assert_eq!(Keys::from_first(0x1234_5600), None);
    }

    #[test]
    fn the_queues_of_a_living_server_stay() {
        let (keys, _cleaner) = keys();
        let (queues, _) = Queues::create(keys, 0).unwrap();
        remove_leftovers(keys);
        sweep();
        let found = Queues::open(keys, 0).unwrap();
        assert_eq!((found.request, found.reply), (queues.request, queues.reply));
        let error = Queues::create(keys, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_was_only_half_made_is_found_by_its_key_file_alone() {
        let (keys, _cleaner) = keys();
        // Killed right after it was made, and before the kernel could note by whom.
        Queue::create(keys.request(0)).unwrap();
        assert!(Queues::open(keys, 0).is_none());
        sweep();
        assert_eq!(are_there(keys), [true, false]);
        remove_leftovers(keys);
        assert_eq!(are_there(keys), [false, false]);
        // The same a moment later.
        Fresh::create(keys.request(0)).unwrap().keep();
        sweep();
        assert_eq!(are_there(keys), [true, false]);
        remove_leftovers(keys);
        assert_eq!(are_there(keys), [false, false]);
    }

    #[test]
    fn replies_without_a_server_stay_only_for_a_moment_after_they_were_sent() {
        let (keys, _cleaner) = keys();
        let queue = Fresh::create(keys.reply(0)).unwrap().keep();
        queue.send(&Message::new(), 5).unwrap();
        sweep();
        assert_eq!(are_there(keys), [false, true]);
        drain(queue, 1);
        sweep();
        assert_eq!(are_there(keys), [false, false]);
        let queue = Fresh::create(keys.reply(0)).unwrap().keep();
        queue.send(&Message::new(), 5).unwrap();
        remove_leftovers(keys);
        assert_eq!(are_there(keys), [false, false]);
    }

    #[test]
    fn what_only_has_such_a_key_stays() {
        let (keys, _cleaner) = keys();
        let queue = Queue::create(keys.request(0)).unwrap();
        queue.send(&Message::new(), 5).unwrap();
        assert!(Queues::open(keys, 0).is_none());
        remove_leftovers(keys);
        sweep();
        assert_eq!(are_there(keys), [true, false]);
    }
}
