use ipcall::ipc_service;

#[ipc_service]
pub trait Modifiers {
    const fn constant(&self) -> u8;
    unsafe fn dangerous(&self);
    extern "C" fn foreign(&self);
    unsafe extern "C" fn variadic(&self, _: ...);
}

fn main() {}
