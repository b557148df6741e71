//! Measures ipcall.
fn main() {}
