use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;

fn is_readable(descriptor: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
}

#[test]
fn the_first_cause_stays() {
    let token = CancelToken::new();
    assert_eq!(token.cause(), None);
    token.cancel_because(CancelCause::Deadline);
    token.cancel();
    assert_eq!(token.clone().cause(), Some(CancelCause::Deadline));
}

#[test]
fn whoever_is_told_that_the_time_has_run_out_has_cancelled_the_call() {
    let token = CancelToken::new();
    let context = |deadline| crate::Context {
        method: "test",
        peer: Arc::default(),
        deadline: Some(deadline),
        metadata: Vec::new(),
        token: Some(token.clone()),
    };
    let now = Instant::now();
    assert_eq!(context(now + Duration::from_secs(3600)).check(), Ok(()));
    assert_eq!(token.cause(), None);
    let cause = CancelCause::Deadline;
    assert_eq!(context(now).check(), Err(Cancelled { cause }));
    assert_eq!(token.cause(), Some(cause));
}

#[test]
fn a_descriptor_tells_before_and_after() {
    let token = CancelToken::new();
    let descriptor = token.as_fd().unwrap();
    assert!(!is_readable(descriptor));
    token.cancel();
    assert!(is_readable(descriptor) && is_readable(token.as_fd().unwrap()));
    let late = CancelToken::new();
    late.cancel();
    assert!(is_readable(late.as_fd().unwrap()));
}

#[test]
fn waiting_ends_when_it_is_cancelled_and_leaves_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let token = CancelToken::new();
        for _ in 0..10 {
            let patience = Duration::from_millis(1);
            assert!(tokio::time::timeout(patience, token.cancelled()).await.is_err());
        }
        assert!(token.0.waiting().wakers.is_empty());
        let (clone, (sender, receiver)) = (token.clone(), mpsc::channel());
        let canceller = thread::spawn(move || {
            receiver.recv().unwrap();
            clone.cancel();
        });
        sender.send(()).unwrap();
        token.cancelled().await;
        canceller.join().unwrap();
    });
}

#[test]
fn a_system_call_ends_whenever_it_is_cancelled() {
    // Many times, so that the signal falls between the look and the call, too. `IPCALL_CANCEL_ROUNDS` of them.
    let rounds = std::env::var("IPCALL_CANCEL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let (ours, theirs) = nix::unistd::pipe().unwrap();
    for round in 0..rounds.unwrap_or(500_u64) {
        let token = CancelToken::new();
        let canceller = thread::spawn({
            let token = token.clone();
            move || {
                let since = Instant::now();
                while since.elapsed() < Duration::from_micros(round % 50) {}
                token.cancel();
            }
        });
        let (mut byte, (sender, ended)) = ([0], mpsc::channel());
        // A signal that is missed is found to be, instead of being waited for.
        let watchdog = thread::spawn({
            let theirs = theirs.try_clone().unwrap();
            move || {
                if ended.recv_timeout(Duration::from_secs(20)).is_err() {
                    nix::unistd::write(theirs, b"?").unwrap();
                }
            }
        });
        let read = token.interruptible(|| nix::unistd::read(ours.as_fd(), &mut byte));
        sender.send(()).unwrap();
        assert_eq!(read, Err(Errno::EINTR), "round {round}");
        assert!(token.0.waiting().sections.is_empty());
        canceller.join().unwrap();
        watchdog.join().unwrap();
    }
}

#[test]
fn what_was_not_cancelled_is_not_interrupted() {
    let (token, other) = (CancelToken::new(), CancelToken::new());
    other.cancel();
    let (ours, _theirs) = nix::unistd::pipe().unwrap();
    let polled = token.interruptible(|| {
        let mut places = [PollFd::new(ours.as_fd(), PollFlags::POLLIN)];
        poll(&mut places, PollTimeout::from(20_u8))
    });
    assert_eq!(polled, Ok(0));
}
