//! The contract of `ipcall_core::transport`, point by point, for every transport.
//!
//! A point is a module; a test is a function over a [`Subject`], written once. The tables below say
//! which transport runs which: a transport that is registered without a table here is an error.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod abandon;
mod bytes;
mod close;
mod death;
mod full;
mod idle;
mod launched;
mod leaks;
mod names;
mod order;
mod queues;
#[path = "../support/quota.rs"]
mod quota;
mod roles;
mod scratch;
mod subject;
#[allow(dead_code, reason = "each target uses its part")]
#[path = "../support/system_v.rs"]
mod system_v;
mod threads;
mod waiting;
mod watchdog;

/// The tests of one group, in the module that this stands in, for its `SCHEME`.
macro_rules! tests {
    ($($point:ident: $($name:ident),+;)+) => { $($(
        #[test]
        fn $name() {
            crate::subject::run(SCHEME, stringify!($name), crate::$point::$name);
        }
    )+)+ };

    // What the halves of two ends can show, however these came to be connected.
    (halves) => { tests! {
        order:
            bytes_arrive_in_order_exactly_once,
            any_amount_arrives_whole,
            both_sides_write_at_once,
            many_slices_are_one_stream,
            a_read_appends_and_keeps_to_its_limit;
        full:
            a_full_peer_is_would_block_and_recovers,
            an_empty_pipe_is_would_block,
            a_sleeping_reader_is_woken,
            a_sleeping_writer_is_woken,
            arming_notices_what_has_come_meanwhile,
            both_halves_sleep_in_one_epoll;
        abandon:
            reads_and_writes_may_be_abandoned_anywhere,
            an_abandoned_sleep_loses_nothing;
        close:
            what_was_written_arrives_before_the_end,
            the_end_stays_the_end,
            each_direction_ends_by_itself,
            a_sleeping_reader_sees_the_end,
            a_sleeping_writer_sees_the_end,
            unread_input_does_not_spoil_the_end,
            writing_to_nobody_is_an_error;
        threads:
            halves_work_in_four_threads,
            halves_move_between_threads;
    } };

    // What two ends can show wherever they are.
    (both_ends) => {
        tests!(halves);
        tests! {
        names:
            nobody_there_is_server_absent,
            a_living_server_keeps_its_name,
            a_dropped_name_is_free,
            of_servers_starting_at_once_one_wins,
            servers_stopping_at_once_leave_nothing,
            clients_are_accepted_one_by_one,
            connections_outlive_their_listener,
            clients_not_accepted_see_the_end;
        leaks:
            nothing_is_left;
        idle:
            an_idle_connection_takes_no_time;
        }
    };

    // What takes a second process.
    (processes) => { tests! {
        death:
            the_death_of_an_idle_client_is_seen,
            the_death_of_an_idle_server_is_seen,
            the_death_of_a_busy_client_is_seen,
            the_death_of_a_client_that_does_not_read_is_seen;
        close:
            no_sigpipe_is_raised;
        names:
            a_killed_server_leaves_its_name_to_the_next;
    } };

    // What only names in the file system can be.
    (files) => { tests! {
        names:
            a_foreign_file_is_refused,
            of_servers_starting_at_once_one_takes_a_stale_name;
    } };
}

mod mem {
    pub(super) const SCHEME: &str = "mem";
    tests!(both_ends);
    // Not `processes`: it ends with its process. Not `files`: its names are no files.
}

mod pipe {
    pub(super) const SCHEME: &str = "pipe";
    // Over real pipes, whose two ends are in one process; so are the names here. Not `processes`, nor
    // `files`: a server that its client starts has no name. Where it is a process is in `launched`.
    tests!(both_ends);

    /// What the halves of a client show when they are those of a child.
    mod to_a_child {
        const SCHEME: &str = crate::launched::lending::SUBJECT;
        tests!(halves);
    }
}

mod fifo {
    pub(super) const SCHEME: &str = "fifo";
    tests!(both_ends);
    tests!(processes);
    tests!(files);
}

mod posix_mq {
    pub(super) const SCHEME: &str = "posix-mq";
    tests!(both_ends);
    tests!(processes);
    tests!(files);
}

mod sysv_mq {
    pub(super) const SCHEME: &str = "sysv-mq";
    tests!(both_ends);
    tests!(processes);
    tests!(files);
    tests! {
        queues:
            many_clients_at_once,
            clients_that_do_not_read_hold_up_nobody,
            a_stopped_client_holds_up_nobody,
            a_stopped_server_goes_on_where_it_was,
            a_killed_server_leaves_no_queue_to_the_next,
            a_server_killed_without_its_name_leaves_no_queue_to_the_next,
            clients_remove_the_queues_of_a_killed_server,
            the_last_words_of_a_server_arrive_after_it_has_ended,
            another_user_is_refused;
    }
}

mod sysv_shm {
    pub(super) const SCHEME: &str = "sysv-shm";
    tests!(both_ends);
    tests!(processes);
    tests!(files);
}

mod shm {
    pub(super) const SCHEME: &str = "shm";
    tests!(both_ends);
    tests!(processes);
    tests!(files);
}

mod file {
    pub(super) const SCHEME: &str = "file";
    tests!(both_ends);
    tests!(processes);
    tests!(files);
}

mod unix {
    pub(super) const SCHEME: &str = "unix";
    tests!(both_ends);
    tests!(processes);
    tests!(files);
}

mod tcp {
    pub(super) const SCHEME: &str = "tcp";
    tests!(both_ends);
    tests!(processes);
    // Not `files`: a port is held by a living server or free, with nothing in between.
}

#[test]
fn every_registered_transport_has_its_table() {
    let registered: Vec<_> =
        ipcall_transports::schemes().iter().map(|scheme| scheme.name).collect();
    let tables = [
        mem::SCHEME,
        pipe::SCHEME,
        fifo::SCHEME,
        posix_mq::SCHEME,
        sysv_mq::SCHEME,
        sysv_shm::SCHEME,
        shm::SCHEME,
        file::SCHEME,
        unix::SCHEME,
        tcp::SCHEME,
    ];
    assert_eq!(registered, tables);
}
