//! Benchmarks that both engines compute: attention and matrix products, with their inputs and operation counts.

use std::fmt;

use ketformer::bench::{BenchShape, Subject};
use ketformer::kernels::RandomInputs;

/// Scale of the inputs: scores of a few units, so that the softmax is neither flat nor dominated by one key.
const QKV_SCALE: f32 = 3.0;

/// Sizes of attention: samples, heads, positions, width of a head.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    pub b: usize,
    pub h: usize,
    pub t: usize,
    pub d: usize,
}

/// Sizes of a linear layer y = x Wᵀ: x (rows, inner), W (columns, inner), y (rows, columns).
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
}

/// One benchmark of the comparison.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// out = softmax(q kᵀ / √D + causal mask) v
    Attention(Heads),
    /// The same, and d_q, d_k, d_v for d_out = 1.
    AttentionGradient(Heads),
    /// y = x Wᵀ
    Product(Layer),
    /// d_x = d_y W
    InputGradient(Layer),
    /// d_W = d_yᵀ x and d_b = Σ d_y
    WeightGradient(Layer),
}

/// Random operands, in the layouts of the crate: for attention `x` is q | k | v of each row, (B·T, 3C).
pub struct Inputs {
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub d_y: Vec<f32>,
}

impl Work {
    /// Benchmarks of a subject at a shape.
    pub fn of(subject: Subject, shape: &BenchShape) -> Result<Vec<Self>, String> {
        let sizes: Vec<usize> = shape.0.iter().map(|size| *size as usize).collect();
        match (subject, sizes.as_slice()) {
            (Subject::Attention, &[b, h, t, d]) => {
                let heads = Heads { b, h, t, d };
                Ok(vec![Self::Attention(heads), Self::AttentionGradient(heads)])
            }
            (Subject::Matmul, &[rows, inner, columns]) => {
                let layer = Layer { rows, inner, columns };
                Ok(vec![Self::Product(layer), Self::InputGradient(layer), Self::WeightGradient(layer)])
            }
            _ => Err(format!(
                "{subject} at {shape} is not compared; give attention BxHxTxD or matmul ROWSxINNERxCOLUMNS"
            )),
        }
    }

    /// Name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Attention(_) => "attention forward",
            Self::AttentionGradient(_) => "attention forward+backward",
            Self::Product(_) => "matmul y = x Wᵀ",
            Self::InputGradient(_) => "matmul d_x = d_y W",
            Self::WeightGradient(_) => "matmul d_W = d_yᵀ x, d_b",
        }
    }

    /// Floating-point operations of the result, a multiply-add counting as two. A causal mask leaves T(T+1)/2 pairs of
    /// positions; the forward pass takes two products over them, the backward pass five (arXiv:2307.08691, section
    /// 3.2).
    pub fn flops(&self) -> f64 {
        let pairs = |s: &Heads| (s.b * s.h * s.d) as f64 * (s.t * (s.t + 1) / 2) as f64;
        let product = |s: &Layer| 2.0 * s.rows as f64 * s.inner as f64 * s.columns as f64;
        match self {
            Self::Attention(s) => 4.0 * pairs(s),
            Self::AttentionGradient(s) => 14.0 * pairs(s),
            Self::Product(s) | Self::InputGradient(s) | Self::WeightGradient(s) => product(s),
        }
    }

    /// Operands of the benchmark, the same for every engine.
    pub fn inputs(&self, seed: u64) -> Inputs {
        let mut random = RandomInputs::new(seed);
        match self {
            Self::Attention(s) | Self::AttentionGradient(s) => {
                let x = random.floats(3 * s.b * s.t * s.h * s.d).into_iter().map(|v| QKV_SCALE * v).collect();
                Inputs { x, weight: Vec::new(), d_y: Vec::new() }
            }
            Self::Product(s) | Self::InputGradient(s) | Self::WeightGradient(s) => {
                let x = random.floats(s.rows * s.inner);
                let weight = random.floats(s.columns * s.inner);
                let d_y = random.floats(s.rows * s.columns);
                Inputs { x, weight, d_y }
            }
        }
    }

    /// Sizes as on the command line.
    pub fn shape(&self) -> String {
        match self {
            Self::Attention(s) | Self::AttentionGradient(s) => format!("{}x{}x{}x{}", s.b, s.h, s.t, s.d),
            Self::Product(s) | Self::InputGradient(s) | Self::WeightGradient(s) => {
                format!("{}x{}x{}", s.rows, s.inner, s.columns)
            }
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.shape())
    }
}
