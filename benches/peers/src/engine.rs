//! What an engine offers: a way to compute one line of the comparison, ready to be called again and again.

/// Errors of any engine.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One way in which an engine computes a line.
pub trait Form {
    /// What distinguishes it from the engine's other forms.
    fn name(&self) -> String;

    /// Computes the line `calls` times, one after the other, and waits for the last.
    fn run(&mut self, calls: usize) -> Result<()>;

    /// What the line made, in the crate's layouts: the output of attention and then d_qkv, y, d_x, or d_W and then d_b.
    fn read(&mut self) -> Result<Vec<Vec<f32>>>;
}
