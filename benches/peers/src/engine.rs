//! Interface of an engine: a benchmark that is prepared once and called repeatedly.

/// Result with the errors of any engine.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One way in which an engine computes a benchmark.
pub trait Form {
    /// Name that distinguishes it from the other variants of the engine.
    fn name(&self) -> String;

    /// Computes the benchmark `calls` times in sequence and waits for the last call.
    fn run(&mut self, calls: usize) -> Result<()>;

    /// Reads the outputs: of attention the output (B, H, S, D), for gradients then d_q, d_k and d_v in the layouts of q, k
    /// and v; of products y, d_x, or d_W and then d_b.
    fn read(&mut self) -> Result<Vec<Vec<f32>>>;
}

/// A variant, or the reason why the engine does not have it for this benchmark.
pub type Prepared = (String, Result<Box<dyn Form>>);
