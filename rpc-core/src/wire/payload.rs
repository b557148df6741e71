//! Placeholder until the codec stands.
/// Bounds on decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Nesting.
    pub depth: u32,
    /// Bytes.
    pub memory: usize,
}
impl Default for DecodeLimits {
    fn default() -> Self {
        Self { depth: 64, memory: 256 << 20 }
    }
}
