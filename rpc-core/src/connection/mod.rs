//! One connection, whatever its transport and whoever waits: its writing side ([`outbox`]), its reading
//! side ([`source`]) and the greeting that both ends exchange first.

pub(crate) mod greeting;
pub(crate) mod outbox;
pub(crate) mod source;
