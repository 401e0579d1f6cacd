//! Restricted Boltzmann machine: amplitudes, amplitude ratios and gradients.
//!
//! ```text
//! θ_j       = b_j + Σ_i s_i W_ij                                                s_i = 2 n_i − 1
//! log ψ(s)  = Σ_i a_i s_i + Σ_j log cosh θ_j
//! log ψ'/ψ  = Σ_{flipped i} −2 s_i a_i + Σ_j ( log cosh(θ_j − 2 Σ_i s_i W_ij) − log cosh θ_j )
//! ∂(2 log ψ)/∂a_i = 2 s_i     ∂(2 log ψ)/∂b_j = 2 tanh θ_j     ∂(2 log ψ)/∂W_ij = 2 s_i tanh θ_j
//! ```
//!
//! θ is a [`crate::kernels::linear::LinearProduct`] of rows of spins, stored as f32. The sums of the gradient over rows
//! are [`crate::kernels::linear::LinearGradient`]s. Sites are in patch order, i = t·P + element. Source: Carleo &
//! Troyer, arXiv:1606.02318.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::vmc::rows::Window;
use crate::kernels::{kernel, record};

pub(super) static AMPLITUDE: Kernel = kernel!("rbm", "rbm_amplitude");
pub(super) static RATIO: Kernel = kernel!("rbm", "rbm_ratio");
pub(super) static SLOPES: Kernel = kernel!("rbm", "rbm_slopes");

/// Sizes of a restricted Boltzmann machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RbmShape {
    /// N
    pub sites: u32,
    /// P
    pub sites_per_patch: u32,
    /// M, hidden units
    pub hidden: u32,
}

impl RbmShape {
    /// T
    pub fn patches(&self) -> u32 {
        self.sites / self.sites_per_patch
    }
}

record! {
    /// 2 log ψ of each row.
    #[derive(Debug, Clone)]
    pub struct RbmAmplitude {
        /// (rows, N)
        pub spins: View,
        /// (rows, M)
        pub theta: View,
        /// (N)
        pub visible_bias: View,
        /// (rows)
        pub log_p: View,
    }
}

impl RbmAmplitude {
    /// Records 2 log ψ of `rows` rows.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, shape: &RbmShape) -> Result<()> {
        let (r, n, m) = (u64::from(rows.capacity), u64::from(shape.sites), u64::from(shape.hidden));
        plan.launch(&Launch {
            kernel: &AMPLITUDE,
            spec: &[],
            bindings: &bind!(self.spins[r * n], self.theta[r * m], self.visible_bias[n], self.log_p[r]),
            params: &[("rows", rows.capacity.into()), ("sites", shape.sites.into()), ("hidden", shape.hidden.into())],
            groups: rows.groups(64, 1),
            cost: Cost { flops: (r * (2 * n + 6 * m)) as f64, bytes: 4.0 * (r * (n + m + 1)) as f64 },
            shape: format!("({r}, {n}, {m})"),
        })
    }
}

record! {
    /// log ψ'/ψ of the connected configurations of a window.
    #[derive(Debug, Clone)]
    pub struct RbmRatio {
        /// (B, T) u32
        pub tokens: View,
        /// (B) u32
        pub sample_of: View,
        /// (B, M)
        pub theta: View,
        /// (N, M), of f32 or f16
        pub weight: View,
        /// (N)
        pub visible_bias: View,
        /// (moves) of four u32: first patch, mask, second patch or `u32::MAX`, mask; a mask is one bit
        pub moves: View,
        /// (moves) of two u32: unused, condition
        pub starts: View,
        /// (B, moves)
        pub ratio: View,
    }
}

impl RbmRatio {
    /// Records the ratios of `moves` off-diagonal terms. `pairs` is whether some of them change two sites.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, window: &Window, shape: &RbmShape, moves: u32, pairs: bool) -> Result<()> {
        let (b, t, n) = (u64::from(window.samples), u64::from(window.patches), u64::from(shape.sites));
        let (items, m, count) = (u64::from(window.capacity), u64::from(shape.hidden), u64::from(moves));
        plan.launch(&Launch {
            kernel: &RATIO,
            spec: &[("PAIRS", pairs.into()), ("WEIGHT_BITS", self.weight.storage().bits())],
            bindings: &bind!(
                self.tokens[b * t],
                self.sample_of[b],
                self.theta[b * m],
                self.weight[n * m],
                self.visible_bias[n],
                self.moves[4 * count],
                self.starts[2 * count],
                self.ratio[b * count]
            ),
            params: &[
                ("items", window.capacity.into()),
                ("moves", moves.into()),
                ("patches", window.patches.into()),
                ("sites_per_patch", shape.sites_per_patch.into()),
                ("hidden", shape.hidden.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
            ],
            groups: window.items.times(moves.div_ceil(4)).groups(64, 1),
            cost: Cost { flops: (8 * items * count * m) as f64, bytes: 4.0 * (items * (m + count) + n * m) as f64 },
            shape: format!("({items}, {count}, {m})"),
        })
    }
}

record! {
    /// Operands of the gradient's sums over rows.
    #[derive(Debug, Clone)]
    pub struct RbmSlopes {
        /// (B)
        pub d_log_p: View,
        /// (rows, N): s, overwritten with 2 w s
        pub spins: View,
        /// (rows, M): θ, overwritten with tanh θ
        pub theta: View,
        /// (rows): 2 w
        pub slope: View,
    }
}

impl RbmSlopes {
    /// Records the operands of `rows` rows. Row 0 belongs to element `first` of `d_log_p`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, shape: &RbmShape, first: u32) -> Result<()> {
        let (r, n, m) = (u64::from(rows.capacity), u64::from(shape.sites), u64::from(shape.hidden));
        plan.launch(&Launch {
            kernel: &SLOPES,
            spec: &[],
            bindings: &bind!(self.d_log_p[u64::from(first) + r], self.spins[r * n], self.theta[r * m], self.slope[r]),
            params: &[
                ("rows", rows.capacity.into()),
                ("sites", shape.sites.into()),
                ("hidden", shape.hidden.into()),
                ("first", first.into()),
            ],
            groups: rows.times(shape.sites + shape.hidden).groups(64, 1),
            cost: Cost { flops: (r * (n + 3 * m)) as f64, bytes: 8.0 * (r * (n + m + 1)) as f64 },
            shape: format!("({r}, {n}, {m})"),
        })
    }
}

/// log cosh x without overflow.
pub(crate) fn log_cosh(x: f64) -> f64 {
    x.abs() + (-2.0 * x.abs()).exp().ln_1p() - std::f64::consts::LN_2
}

/// θ of each row in f64: `spins` (rows, N), `kernel` (N, M), `hidden_bias` (M).
pub fn theta_reference(spins: &[f64], kernel: &[f64], hidden_bias: &[f64]) -> Vec<f64> {
    let m = hidden_bias.len();
    let n = kernel.len() / m;
    let of = |row: &[f64], j: usize| {
        hidden_bias[j] + row.iter().enumerate().map(|(i, s)| s * kernel[i * m + j]).sum::<f64>()
    };
    spins.chunks(n).flat_map(|row| (0..m).map(move |j| of(row, j))).collect()
}

/// 2 log ψ of each row in f64.
pub fn amplitude_reference(spins: &[f64], theta: &[f64], visible_bias: &[f64]) -> Vec<f64> {
    let rows = spins.len() / visible_bias.len();
    let m = theta.len() / rows;
    let visible = |row: &[f64]| row.iter().zip(visible_bias).map(|(s, a)| s * a).sum::<f64>();
    let hidden = |row: &[f64]| row.iter().map(|theta| log_cosh(*theta)).sum::<f64>();
    spins.chunks(visible_bias.len()).zip(theta.chunks(m)).map(|(s, t)| 2.0 * (visible(s) + hidden(t))).collect()
}

/// Gradients of Σ_r w_r 2 log ψ(row r) with respect to visible bias, kernel and hidden bias, in f64.
pub fn gradient_reference(spins: &[f64], theta: &[f64], d_log_p: &[f64]) -> [Vec<f64>; 3] {
    let (n, m) = (spins.len() / d_log_p.len(), theta.len() / d_log_p.len());
    let (mut d_visible, mut d_kernel, mut d_hidden) = (vec![0.0; n], vec![0.0; n * m], vec![0.0; m]);
    for ((row, theta), w) in spins.chunks(n).zip(theta.chunks(m)).zip(d_log_p) {
        for (j, theta) in theta.iter().enumerate() {
            d_hidden[j] += 2.0 * w * theta.tanh();
        }
        for (i, s) in row.iter().enumerate() {
            d_visible[i] += 2.0 * w * s;
            for (j, theta) in theta.iter().enumerate() {
                d_kernel[i * m + j] += 2.0 * w * s * theta.tanh();
            }
        }
    }
    [d_visible, d_kernel, d_hidden]
}

/// log ψ'/ψ in f64, where the spins of `sites` of one row are flipped.
pub(crate) fn ratio_reference(
    spins: &[f64],
    theta: &[f64],
    kernel: &[f32],
    visible_bias: &[f32],
    sites: &[usize],
) -> f64 {
    let m = theta.len();
    let visible: f64 = sites.iter().map(|i| -2.0 * spins[*i] * f64::from(visible_bias[*i])).sum();
    let moved = |j: usize| theta[j] - 2.0 * sites.iter().map(|i| spins[*i] * f64::from(kernel[i * m + j])).sum::<f64>();
    visible + (0..m).map(|j| log_cosh(moved(j)) - log_cosh(theta[j])).sum::<f64>()
}
