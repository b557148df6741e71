//! Two ends and a virtual clock.
