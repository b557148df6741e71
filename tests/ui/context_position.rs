use ipcall::{Context, ipc_service};

#[ipc_service]
pub trait Position {
    async fn second(&self, text: &str, cx: &Context);
    async fn twice(&self, cx: &Context, again: &ipcall::Context);
    async fn by_value(&self, cx: Context);
    async fn mutable(&self, cx: &mut Context);
}

fn main() {}
