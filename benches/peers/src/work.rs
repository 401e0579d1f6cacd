//! Benchmarks that both engines compute: attention and matrix products, with their inputs and operation counts.

use std::fmt;

use ketformer::arena::{AttentionProblem, Pass};
use ketformer::bench::BenchShape;
use ketformer::kernels::RandomInputs;

use crate::sizes::Sizes;

/// Scale of queries, keys and values: scores of a few units, so that the softmax is neither flat nor dominated by one key.
const QKV_SCALE: f32 = 3.0;

/// Sizes of a linear layer y = x Wᵀ: x (rows, inner), W (columns, inner), y (rows, columns).
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
}

/// Product of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// y = x Wᵀ
    Output,
    /// d_x = d_y W
    InputGradient,
    /// d_W = d_yᵀ x and d_b = Σ d_y
    WeightGradient,
}

/// One benchmark of the comparison.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    Attention(AttentionProblem),
    Layer(Layer, Product),
}

/// Random operands: queries (B, H, S, D), keys and values (B, HK, SK, D).
pub struct AttentionInputs {
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
}

/// Random operands: input (rows, inner), weight (columns, inner), gradient of the output (rows, columns).
pub struct LayerInputs {
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub d_y: Vec<f32>,
}

impl AttentionInputs {
    pub fn new(s: &Sizes, seed: u64) -> Self {
        let mut random = RandomInputs::new(seed);
        let mut scaled = |elements| random.floats(elements).into_iter().map(|value| QKV_SCALE * value).collect();
        Self { q: scaled(s.query_elements()), k: scaled(s.key_elements()), v: scaled(s.key_elements()) }
    }
}

impl LayerInputs {
    pub fn new(s: &Layer, seed: u64) -> Self {
        let mut random = RandomInputs::new(seed);
        let x = random.floats(s.rows * s.inner);
        let weight = random.floats(s.columns * s.inner);
        Self { x, weight, d_y: random.floats(s.rows * s.columns) }
    }
}

impl Layer {
    /// Layer of a shape (rows, inner, columns).
    pub fn of(shape: &BenchShape) -> Result<Self, String> {
        match shape.0.as_slice() {
            &[rows, inner, columns] => {
                Ok(Self { rows: rows as usize, inner: inner as usize, columns: columns as usize })
            }
            _ => Err(format!("{shape} is not a shape of products; give ROWSxINNERxCOLUMNS such as 4096x128x512")),
        }
    }
}

impl Work {
    /// What is computed, in JSON files.
    pub fn pass(&self) -> String {
        match self {
            Self::Attention(problem) => problem.pass.to_string(),
            Self::Layer(_, Product::Output) => "y".into(),
            Self::Layer(_, Product::InputGradient) => "d_x".into(),
            Self::Layer(_, Product::WeightGradient) => "d_w-d_b".into(),
        }
    }

    /// Name in the table.
    pub fn name(&self) -> String {
        match self {
            Self::Attention(problem) => {
                let pass = if problem.pass == Pass::Forward { "forward" } else { "forward + backward" };
                format!("{} attention, {pass}", problem.mask)
            }
            Self::Layer(_, Product::Output) => "y = x Wᵀ".into(),
            Self::Layer(_, Product::InputGradient) => "d_x = d_y W".into(),
            Self::Layer(_, Product::WeightGradient) => "d_W = d_yᵀ x, d_b".into(),
        }
    }

    /// Sizes as on the command line.
    pub fn shape(&self) -> String {
        match self {
            Self::Attention(problem) => problem.to_string(),
            Self::Layer(s, _) => format!("{}x{}x{}", s.rows, s.inner, s.columns),
        }
    }

    /// Floating-point operations of the result, a multiply-add counting as two.
    pub fn flops(&self) -> f64 {
        match self {
            Self::Attention(problem) => problem.flops()[0],
            Self::Layer(s, _) => 2.0 * s.rows as f64 * s.inner as f64 * s.columns as f64,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.name(), self.shape())
    }
}
