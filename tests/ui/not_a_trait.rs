use ipcall::ipc_service;

#[ipc_service]
pub struct Structure;

#[ipc_service]
impl Structure {}

#[ipc_service]
pub fn function() {}

fn main() {
    let _ = Structure;
    function();
}
