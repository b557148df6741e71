#[ipc_service]
pub trait WordCount {
    /// Counts the whitespace-separated words of `text`.
    async fn count(&self, text: &str) -> u64;
}
