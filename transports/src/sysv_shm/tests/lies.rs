//! What peers say that is not so, and what others do to the objects.

use super::*;

/// Claims slot 0 as `pid`, with this key and number.
fn forge(objects: &Objects, pid: u32, key: i32, id: i32) {
    let slot = objects.lobby.slot(0);
    assert!(slot.advance(pid, Stage::Free, Stage::Claimed));
    slot.set_key(key);
    slot.set_id(id);
    assert!(slot.advance(pid, Stage::Claimed, Stage::Ready));
    objects.lobby.note_rung(0);
    objects.semaphores.raise(SERVER).unwrap();
}

#[test]
fn indices_that_cannot_be_end_the_connection() {
    for (word, value) in [(Word::Tail, 5000), (Word::Tail, u64::MAX), (Word::Head, 1)] {
        for liar in [link::Side::Client, link::Side::Server] {
            let place = Place::new();
            let (listener, mut server, mut client) = place.pair();
            let id = listener.objects().lobby.slot(0).id().unwrap();
            let mapping = Mapping::of_segment(Segment::from_id(id), segment_size(CAPACITY));
            let mapping = Arc::new(mapping.unwrap());
            let theirs = Region::within(&mapping, liar.offset(CAPACITY), CAPACITY, true);
            theirs.store(word, value, Order::Synchronizing);
            let victim = if liar == link::Side::Client { &mut server } else { &mut client };
            let error = match word {
                Word::Tail => read(&mut *victim.reader).unwrap_err(),
                _ => write(&mut *victim.writer, &[0; CAPACITY + 1]).unwrap_err(),
            };
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("shared ring"), "{error}");
        }
    }
}

#[test]
fn a_segment_that_is_not_what_it_should_be_is_refused() {
    let size = segment_size(CAPACITY);
    let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
    let make = |size, mode| {
        objects::with_free_key(|key| Ok((key, Segment::create_with_mode(key, size, mode)?)))
    };
    let cases = [
        ("bytes where there should be", own, make(size - 1, 0o600).unwrap(), 0),
        ("bytes where there should be", own, make(1 << 20, 0o600).unwrap(), 0),
        ("is open to others", own, make(size, 0o644).unwrap(), 0),
        ("another process has made it", parent, make(size, 0o600).unwrap(), 0),
        ("another process has made it", own, make(size, 0o600).unwrap(), 1),
    ];
    for (expected, pid, (key, segment), shift) in cases {
        let place = Place::new();
        let (mut listener, mut server, mut client) = place.pair();
        // The next slot would do as well; this one is taken, which nobody who lies can change.
        listener.objects().lobby.slot(0).free();
        forge(listener.objects(), own, key, segment.id());
        echo(&mut server, &mut client);
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop((server, client));
        until(|| matches!(listener.objects().lobby.slot(0).state(), Some((Stage::Free, _))));
        forge(listener.objects(), pid, key ^ shift, segment.id());
        let error = try_accept(&mut listener).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(error.to_string().contains(expected), "{error}");
        let _ = segment.remove();
        assert!(segment.status().is_err(), "nobody has kept it");
    }
}

#[test]
fn a_segment_that_is_not_there_is_refused() {
    let place = Place::new();
    let mut listener = place.bind();
    for (pid, id) in
        [(std::process::id(), -1), (std::process::id(), i32::MAX), (0, 1), (u32::MAX, 1)]
    {
        forge(listener.objects(), pid, 1, id);
        let error = try_accept(&mut listener).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        listener.objects().lobby.slot(0).free();
    }
    place.connect().unwrap();
    accept(&mut listener);
}

#[test]
fn nonsense_in_the_lobby_ends_nobodys_connection() {
    let place = Place::new();
    let (mut listener, mut server, mut client) = place.pair();
    let mapping = Mapping::of_segment(listener.objects().segment, lobby::SIZE).unwrap();
    let words = Words::of(&Arc::new(mapping));
    let mut random = 1_u64;
    for _ in 0..50 {
        for word in 0..lobby::SIZE / size_of::<u64>() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = random >> 33;
            // Now and then a stage, and a process that lives.
            let value = if number.is_multiple_of(3) { number % 7 } else { random };
            let value = if number.is_multiple_of(5) { value | 1 << 8 } else { value };
            words.store(word, value);
        }
        listener.objects().semaphores.raise(SERVER).unwrap();
        let error = listener.try_accept().map(drop).unwrap_err();
        let kind = error.kind();
        assert!(
            matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted),
            "{error:?}"
        );
        echo(&mut server, &mut client);
    }
}

#[test]
fn a_key_file_whose_objects_are_gone_is_an_absent_server() {
    let place = Place::new();
    drop(place.bind());
    let (directory, _locked) = crate::directory::Directory::lock(
        &place.address.file.directory,
        crate::directory::Access::OwnUser,
    )
    .unwrap();
    let file = KeyFile::create(&place.address.file.path).unwrap();
    file.write(TITLE, &Record::of_this_process(1, 0x1bd0_0001)).unwrap();
    let error = place.connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    assert!(error.to_string().contains("no open lobby"), "{error}");
    fs::remove_file(&place.address.file.path).unwrap();
    drop(directory);
}

#[test]
fn removed_semaphores_are_noticed_on_both_sides() {
    let place = Place::new();
    let (mut listener, mut server, mut client) = place.pair();
    listener.objects().semaphores.remove().unwrap();
    for end in [&mut server, &mut client] {
        for _ in 0..3 {
            let error = read(&mut *end.reader).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }
    assert!(wait(&listener, PollTimeout::from(MINUTE)));
    let error = listener.try_accept().map(drop).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIDRM));
    let error = place.connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
}

struct Deaf;

impl Ear for Deaf {
    fn hear(&self) {}

    fn lose(&self, _error: &io::Error) {}
}

#[test]
fn a_helper_ends_although_others_take_what_is_rung_for_it() {
    let semaphores = Semaphores::create(libc::IPC_PRIVATE, 1).unwrap();
    let thief = thread::spawn(move || while semaphores.take(0).is_ok() {});
    let helper = Helper::start(semaphores, 0, Arc::new(Deaf)).unwrap();
    drop(helper);
    semaphores.remove().unwrap();
    thief.join().unwrap();
}
