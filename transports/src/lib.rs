//! ipcall.
