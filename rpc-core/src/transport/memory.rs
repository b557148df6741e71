//! In-process rings.
