//! An end, an error and a cancellation are three things, and none is taken for another.
