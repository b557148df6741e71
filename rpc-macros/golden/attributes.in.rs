#[ipc_service(crate = "crate::rpc")]
/// Documentation of the trait.
#[cfg(feature = "service")]
#[deprecated(note = "use another")]
#[allow(clippy::len_without_is_empty)]
pub trait Attributes {
    /// Has a body, which stays.
    #[instrument]
    #[cfg(unix)]
    async fn body(&self, text: &str) -> usize {
        let length = self.length(text).await;
        length + 1
    }

    /// Is gone with its `cfg`.
    #[cfg_attr(windows, cfg(feature = "windows"), inline)]
    #[deprecated]
    #[must_use]
    #[allow(non_snake_case)]
    async fn length(&self, text: &str) -> usize;
}
