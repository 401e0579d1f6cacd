//! Inputs of attention that are drawn on the device, for benchmarks: known without being stored.
//!
//! ```text
//! draw       x[b, s, h, e] = n / 64            n integer, Philox with counter (row, ⌊e/4⌋, tensor, 0) and key seed
//! modified   counts[0] += #{elements of x that differ from what was drawn}
//! ```
//!
//! Keys, values and gradients of outputs have integers from −128 to 127. To those of half of the queries the integers of
//! one key are added, which then has most of the probability: the last key that the query sees, the first one, or any. A
//! kernel that leaves out one key is therefore wrong by more than rounding, however many keys there are. All values and
//! their sums are exact in f16.

use super::general::Strides;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Groups, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::nn::categorical::philox_rounds;
use crate::kernels::{kernel, record};

pub(super) static DRAW: Kernel = kernel!("attention", "attention_draw");
pub(super) static MODIFIED: Kernel = kernel!("attention", "attention_modified");

/// Tensor of an attention benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrawnTensor {
    /// Queries.
    Q = 0,
    /// Keys.
    K = 1,
    /// Values.
    V = 2,
    /// Gradient of the outputs.
    DOut = 3,
}

/// Sizes and seed of the inputs of an attention benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawnInputs {
    /// Samples B.
    pub samples: u32,
    /// Heads H of queries.
    pub heads: u32,
    /// Heads of keys and values, a divisor of `heads`.
    pub key_heads: u32,
    /// Queries of a sample; with `causal` at most `keys`, and the last ones.
    pub queries: u32,
    /// Keys of a sample.
    pub keys: u32,
    /// Width D of a head.
    pub width: u32,
    /// Whether a query sees no keys after its position.
    pub causal: bool,
    /// Key of the generator.
    pub seed: u64,
}

impl DrawnInputs {
    /// Positions and heads of a tensor.
    fn sizes(&self, tensor: DrawnTensor) -> [u32; 2] {
        match tensor {
            DrawnTensor::Q | DrawnTensor::DOut => [self.queries, self.heads],
            DrawnTensor::K | DrawnTensor::V => [self.keys, self.key_heads],
        }
    }

    /// Rows of a tensor, in the order (sample, head, position).
    pub fn rows(&self, tensor: DrawnTensor) -> u32 {
        self.samples * self.sizes(tensor).iter().product::<u32>()
    }

    /// Number of keys that query `position` of a sample sees.
    pub fn seen(&self, position: u32) -> u32 {
        if self.causal { self.keys - self.queries + position + 1 } else { self.keys }
    }

    fn words(&self, row: u32, columns: u32, tensor: u32) -> [u32; 4] {
        philox_rounds([row, columns, tensor, 0], [self.seed as u32, (self.seed >> 32) as u32], 7)
    }

    /// Values of a row (sample, head, position) of a tensor: `width` multiples of 1/64.
    pub fn row(&self, tensor: DrawnTensor, row: u32) -> Vec<f64> {
        let planted = (tensor == DrawnTensor::Q).then(|| self.planted_key(row)).flatten();
        let integers = |row, columns, tensor| self.words(row, columns, tensor).map(|word| (word >> 24) as i32 - 128);
        let vector = |columns: u32| {
            let own = integers(row, columns, tensor as u32);
            let of_key = planted.map_or([0; 4], |key| integers(key, columns, DrawnTensor::K as u32));
            [0, 1, 2, 3].map(|i| f64::from(own[i] + of_key[i]) / 64.0)
        };
        (0..self.width.div_ceil(4)).flat_map(vector).take(self.width as usize).collect()
    }

    /// Row of the key whose integers are added to a query.
    pub(crate) fn planted_key(&self, row: u32) -> Option<u32> {
        let [kind, word, ..] = self.words(row, 0, 4);
        let seen = self.seen(row % self.queries);
        let key = match kind & 7 {
            0..=3 => return None,
            4 => seen - 1,
            5 => 0,
            _ => word % seen,
        };
        let (head, sample) = (row / self.queries % self.heads, row / self.queries / self.heads);
        Some((sample * self.key_heads + head / (self.heads / self.key_heads)) * self.keys + key)
    }

    fn check(&self, kernel: &Kernel) -> Result<()> {
        let sizes = [self.samples, self.heads, self.key_heads, self.queries, self.keys, self.width];
        let rows =
            |heads, positions| [self.samples, heads, positions, self.width].map(u64::from).iter().product::<u64>();
        let elements = rows(self.heads, self.queries).max(rows(self.key_heads, self.keys));
        let fits = !sizes.contains(&0) && self.heads.is_multiple_of(self.key_heads) && elements <= u64::from(u32::MAX);
        if fits && (!self.causal || self.queries <= self.keys) {
            return Ok(());
        }
        let message = format!(
            "{}: expected sizes from 1, heads that are a multiple of key_heads, fewer than 2³² elements, and with causal at \
             most as many queries as keys; got {self:?}",
            kernel.name
        );
        Err(Error::new(ErrorKind::Shape, message))
    }

    /// Parameters, grid and number of elements up to the last one.
    fn launch(&self, tensor: DrawnTensor, strides: &Strides) -> (Vec<(&'static str, Param)>, Groups, u64) {
        let ([positions, heads], rows) = (self.sizes(tensor), self.rows(tensor));
        let mut params: Vec<(&'static str, Param)> = vec![
            ("rows", rows.into()),
            ("positions", positions.into()),
            ("heads", heads.into()),
            ("width", self.width.into()),
            ("tensor", (tensor as u32).into()),
            ("keys", self.keys.into()),
            ("key_heads", self.key_heads.into()),
            ("causal", u32::from(self.causal).into()),
            ("seed_low", (self.seed as u32).into()),
            ("seed_high", ((self.seed >> 32) as u32).into()),
        ];
        params.extend(strides.params(["offset", "sample", "position", "head"]));
        let steps = [(strides.sample, self.samples), (strides.position, positions), (strides.head, heads)];
        let last: u64 = steps.iter().map(|(step, n)| u64::from(*step) * u64::from(n - 1)).sum();
        let groups = (u64::from(rows) * u64::from(self.width.div_ceil(4))).div_ceil(64);
        (params, Groups::Fixed(groups), u64::from(strides.offset) + last + u64::from(self.width))
    }

    fn text(&self) -> String {
        let Self { samples, heads, key_heads, queries, keys, width, .. } = self;
        format!("({samples}, {heads}/{key_heads}, {queries}/{keys}, {width})")
    }
}

record! {
    /// Draws one input of attention.
    #[derive(Debug, Clone)]
    pub struct AttentionDraw {
        /// (B, S, H, D) with strides, f32 or f16
        pub x: View,
    }
}

impl AttentionDraw {
    /// Records the kernel.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for sizes that are 0 or do not fit each other; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, inputs: &DrawnInputs, tensor: DrawnTensor, strides: &Strides) -> Result<()> {
        inputs.check(&DRAW)?;
        let (params, groups, elements) = inputs.launch(tensor, strides);
        plan.launch(&Launch {
            kernel: &DRAW,
            spec: &[("CACHE_BITS", self.x.storage().bits())],
            bindings: &bind!(self.x[elements]),
            params: &params,
            groups,
            cost: Cost { flops: 0.0, bytes: (elements * self.x.storage().bytes()) as f64 },
            shape: inputs.text(),
        })
    }
}

record! {
    /// Counts the elements of an input that are not what [`AttentionDraw`] drew.
    #[derive(Debug, Clone)]
    pub struct AttentionModified {
        /// As in [`AttentionDraw`]
        pub x: View,
        /// (1), u32, added to
        pub counts: View,
    }
}

impl AttentionModified {
    /// Records the kernel.
    ///
    /// # Errors
    /// As [`AttentionDraw::record`].
    pub fn record(&self, plan: &mut Plan, inputs: &DrawnInputs, tensor: DrawnTensor, strides: &Strides) -> Result<()> {
        inputs.check(&MODIFIED)?;
        let (params, groups, elements) = inputs.launch(tensor, strides);
        plan.launch(&Launch {
            kernel: &MODIFIED,
            spec: &[("CACHE_BITS", self.x.storage().bits())],
            bindings: &bind!(self.x[elements], self.counts[1]),
            params: &params,
            groups,
            cost: Cost { flops: 0.0, bytes: (elements * self.x.storage().bytes()) as f64 },
            shape: inputs.text(),
        })
    }
}

/// Reference in f64: the elements of a buffer up to the last one, with NaN between rows.
pub(crate) fn draw_reference(inputs: &DrawnInputs, tensor: DrawnTensor, strides: &Strides) -> Vec<f64> {
    let (_, _, elements) = inputs.launch(tensor, strides);
    let mut x = vec![f64::NAN; elements as usize];
    let [positions, heads] = inputs.sizes(tensor);
    for row in 0..inputs.rows(tensor) {
        let at = strides.at(row / positions / heads, row % positions, row / positions % heads);
        x[at..at + inputs.width as usize].copy_from_slice(&inputs.row(tensor, row));
    }
    x
}
