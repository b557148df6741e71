use ipcall::{Context, ipc_service};

#[ipc_service]
pub trait Patterns {
    async fn tuple(&self, (a, b): (u8, u8));
    async fn mutable(&self, mut a: u8) {
        a += 1;
        let _ = a;
    }
    async fn reference(&self, ref a: u8) {
        let _ = a;
    }
    async fn unnamed(&self, _: u8);
    async fn bound(&self, a @ 0..: u8) {
        let _ = a;
    }
    async fn attributed(&self, #[cfg(unix)] a: u8);
    async fn context(&self, mut cx: &Context) {
        let _ = &mut cx;
    }
}

#[ipc_service]
pub trait Twice {
    async fn twice(&self, r#name: u8, name: u8);
}

fn main() {}
