//! What the death of a process leaves, and who removes it.

use super::*;

#[test]
fn a_killed_holder_of_the_lobbys_lock_frees_it() {
    let place = Place::new();
    let listener = place.bind();
    let holder = place.start("lock");
    assert_eq!(listener.objects().semaphores.value(LOCK).unwrap(), 0);
    let error = place.connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("process {} has held", holder.id())), "{error}");
    holder.kill();
    assert_eq!(listener.objects().semaphores.value(LOCK).unwrap(), 1);
    place.connect().unwrap();
}

#[test]
fn a_client_that_is_killed_before_it_is_accepted_is_forgotten() {
    let place = Place::new();
    let mut listener = place.bind();
    for role in ["claim", "client"] {
        let player = place.start(role);
        assert_eq!(segments_of(player.id()), 1);
        let pid = player.kill();
        // The next who comes has the server look.
        let _client = place.connect().unwrap();
        accept(&mut listener);
        until(|| segments_of(pid) == 0);
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn the_next_server_removes_what_a_killed_one_has_left() {
    let place = Place::new();
    let player = place.start("server");
    let (record, _) = place.address.file.find(TITLE).unwrap();
    // The lobby, a connection, and a client that waits.
    assert_eq!(segments_of(player.id()), 3);
    let objects = Objects::find(record.key, record.pid).unwrap().unwrap();
    let pid = player.kill();
    let error = place.connect().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ServerAbsent { .. }), "{error:?}");
    let (segment, semaphores) = (objects.segment, objects.semaphores);
    drop(objects);
    drop(place.bind());
    assert_eq!(segments_of(pid), 0);
    assert!(segment.status().is_err() && semaphores.status().is_err());
}

#[test]
fn any_server_removes_what_nameless_ones_have_left() {
    let place = Place::new();
    let player = place.start("nameless server");
    let sets = || {
        let list = fs::read_to_string("/proc/sysvipc/sem").unwrap();
        let ids = list.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap().parse());
        let made_by = |id: &i32| Semaphores::from_id(*id).process(1).ok() == Some(player.id());
        ids.map(Result::unwrap).filter(made_by).collect::<Vec<i32>>()
    };
    let set = Semaphores::from_id(sets()[0]);
    let pid = player.id();
    player.kill();
    // Another test's server may do it, too.
    drop(Place::new().bind());
    assert!(set.status().is_err());
    assert_eq!(segments_of(pid), 0);
}

#[test]
fn a_client_whose_server_was_killed_before_it_took_it_removes_its_segment() {
    let place = Place::new();
    let player = place.start("listener");
    let mut client = place.connect().unwrap();
    let (record, _) = place.address.file.find(TITLE).unwrap();
    let objects = Objects::find(record.key, record.pid).unwrap().unwrap();
    let segment = Segment::from_id(objects.lobby.slot(0).id().unwrap());
    drop(objects);
    player.kill();
    let error = read(&mut *client.reader).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(segment.status().is_ok());
    drop(client);
    assert!(segment.status().is_err());
    drop(place.bind());
}
