use ipcall::ipc_service;

#[ipc_service]
pub trait Reserved {
    async fn client(&self);
    async fn clone(&self);
    async fn connect(&self);
    async fn connect_with(&self);
    async fn from_client(&self);
    async fn r#with_deadline(&self);
    async fn with_metadata(&self);
    async fn with_options(&self);
    async fn with_cancel_token(&self);
}

fn main() {}
