#[ipc_service]
trait Streams {
    fn lines(&self, path: &str) -> impl Stream<Item = Result<String, Failure>>;
    async fn chunks(&self) -> impl Stream<Item = Vec<u8>>;
    async fn upload(&self, name: &str, chunks: impl Stream<Item = Vec<u8>>) -> Result<u64, Failure>;
    fn note(&self, cx: &Context, words: impl Stream<Item = Word>);
    fn translate(&self, words: impl ipcall::Stream<Item = Word>) -> impl Stream<Item = Word>;
}
