#[ipc_service]
pub(crate) trait Shapes {
    async fn borrowed(&self, text: &str, bytes: &[u8], maybe: Option<&str>, words: Vec<&str>);
    async fn lent(&self, point: &Point, points: &[Point], maybe: Option<&Point>, some: Option<&[Point]>);
    async fn bytes(&self, bytes: Vec<u8>, maybe: Option<Vec<u8>>, part: Option<&[u8]>) -> Option<Vec<u8>>;
    async fn cow(&self, text: Cow<'_, str>, bytes: Cow<'_, [u8]>, owned: Cow<'static, str>) -> Vec<u8>;
    async fn path(&self, r#type: &Path) -> Result<Vec<u8>, PathBuf>;
}
