//! One connection, whatever its transport and whoever waits: its writing side ([`outbox`]), its reading
//! side ([`source`]), the greeting that both ends exchange first, and the [`doorbell`] beside it all.

mod doorbell;
pub(crate) mod greeting;
pub(crate) mod outbox;
pub(crate) mod source;
