//! Recurrent cells. Each launch computes one position of all sequences.
//!
//! ```text
//! GRU      r = σ(a_r)   z = σ(a_z)   n = tanh(i_n + r∘q)   h' = (1 − z)∘n + z∘h
//! Elman    h' = tanh(a)
//!          i = W_ih bits(token) + b_ih     q = W_hn h + b_hn     a = i + W_hh h + b_hh
//! ```
//!
//! Weight rows are ordered by gate: r, z, n, as in PyTorch's `nn.GRU` (Cho et al., arXiv:1406.1078, with the bias of
//! the candidate inside the product with r). PyTorch's `nn.RNN` is the Elman cell (Cognitive Science 14, 1990). The
//! gradient of W_hh is that of one product over all rows ([`crate::kernels::linear`]); the gradient of W_ih is that of
//! an embedding ([`super::embed`]).

mod backward;
pub(crate) mod cases;
mod links;
mod step;

pub(crate) use backward::BACKWARD_SELECTOR;
pub use backward::{RecurrentBackward, RecurrentBackwardShape};
pub use links::{Link, RecurrentLinks, links_reference};
pub(crate) use step::STEP_SELECTOR;
pub use step::{Before, InputWeights, RecurrentShape, RecurrentStep, StepRows, Strided};

/// Kind of recurrent cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Cell {
    /// Elman cell: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).
    Elman = 0,
    /// Gated recurrent unit.
    #[default]
    Gru = 1,
}

impl Cell {
    /// Number of gates G. Their weights are stored one after the other.
    pub const fn gates(self) -> u32 {
        match self {
            Self::Elman => 1,
            Self::Gru => 3,
        }
    }
}

/// Parameters of a cell in f64.
#[derive(Debug, Clone, Copy)]
pub struct CellReference<'a> {
    /// Kind of recurrent cell.
    pub cell: Cell,
    /// W_ih (G·C, P)
    pub weight_input: &'a [f64],
    /// b_ih (G·C)
    pub bias_input: &'a [f64],
    /// W_hh (G·C, C)
    pub weight_state: &'a [f64],
    /// b_hh (G·C)
    pub bias_state: &'a [f64],
}

/// Gradients of one step; rows are contiguous.
#[derive(Debug, Clone, Default)]
pub struct CellGradient {
    /// (rows, G·C): gradient of W_hh h + b_hh
    pub d_hidden: Vec<f64>,
    /// (rows, G·C): gradient of W_ih bits + b_ih
    pub d_input: Vec<f64>,
    /// (rows, C): gradient of the previous state that bypasses the weights, z∘d for a GRU
    pub carried: Vec<f64>,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl CellReference<'_> {
    /// C
    fn width(&self) -> usize {
        self.bias_state.len() / self.cell.gates() as usize
    }

    /// Returns W_ih bits + b_ih and W_hh h + b_hh of one row, both (G·C).
    fn sums(&self, token: u32, before: &[f64]) -> [Vec<f64>; 2] {
        let (c, p) = (self.width(), self.weight_input.len() / self.bias_input.len());
        let input = |o: usize| {
            let set = (0..p).filter(|j| token >> j & 1 == 1);
            self.bias_input[o] + set.map(|j| self.weight_input[o * p + j]).sum::<f64>()
        };
        let state = |o: usize| {
            let terms = before.iter().zip(&self.weight_state[o * c..]);
            self.bias_state[o] + terms.map(|(h, w)| h * w).sum::<f64>()
        };
        let outputs = self.bias_input.len();
        [(0..outputs).map(input).collect(), (0..outputs).map(state).collect()]
    }

    /// Returns the states (rows, C) after `tokens` from the previous states `before` (rows, C), and for a GRU the gates
    /// r, z, n, q (rows, 4C).
    pub fn forward(&self, tokens: &[u32], before: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let c = self.width();
        let (mut states, mut gates) = (Vec::new(), Vec::new());
        for (token, h) in tokens.iter().zip(before.chunks(c)) {
            let [i, s] = self.sums(*token, h);
            if self.cell == Cell::Elman {
                states.extend(i.iter().zip(&s).map(|(i, s)| (i + s).tanh()));
                continue;
            }
            let gate = |g: usize| (0..c).map(move |k| g * c + k);
            let r: Vec<f64> = gate(0).map(|o| sigmoid(i[o] + s[o])).collect();
            let z: Vec<f64> = gate(1).map(|o| sigmoid(i[o] + s[o])).collect();
            let n: Vec<f64> = gate(2).map(|o| (i[o] + r[o - 2 * c] * s[o]).tanh()).collect();
            states.extend((0..c).map(|k| (1.0 - z[k]) * n[k] + z[k] * h[k]));
            gates.extend([&r[..], &z, &n, &s[2 * c..]].concat());
        }
        (states, gates)
    }

    /// Returns the gradients of a step from the gradient of its states, `d_states` (rows, C). `saved` (rows, C) are the
    /// previous states for a GRU and the new states for an Elman cell. `gates` are those of the forward step.
    pub fn backward(&self, saved: &[f64], gates: &[f64], d_states: &[f64]) -> CellGradient {
        let c = self.width();
        let mut gradient = CellGradient::default();
        for (row, d) in d_states.chunks(c).enumerate() {
            let h = &saved[row * c..(row + 1) * c];
            if self.cell == Cell::Elman {
                let d_a: Vec<f64> = d.iter().zip(h).map(|(d, h)| d * (1.0 - h * h)).collect();
                gradient.d_hidden.extend(&d_a);
                gradient.d_input.extend(&d_a);
                gradient.carried.extend(vec![0.0; c]);
                continue;
            }
            let [r, z, n, q] = [0, 1, 2, 3].map(|g| &gates[(4 * row + g) * c..(4 * row + g + 1) * c]);
            let d_n: Vec<f64> = (0..c).map(|k| d[k] * (1.0 - z[k]) * (1.0 - n[k] * n[k])).collect();
            let d_z: Vec<f64> = (0..c).map(|k| d[k] * (h[k] - n[k]) * z[k] * (1.0 - z[k])).collect();
            let d_r: Vec<f64> = (0..c).map(|k| d_n[k] * q[k] * r[k] * (1.0 - r[k])).collect();
            let d_q: Vec<f64> = (0..c).map(|k| d_n[k] * r[k]).collect();
            gradient.d_hidden.extend([&d_r[..], &d_z, &d_q].concat());
            gradient.d_input.extend([&d_r[..], &d_z, &d_n].concat());
            gradient.carried.extend((0..c).map(|k| d[k] * z[k]));
        }
        gradient
    }

    /// Returns the gradient of the previous states (rows, C) from `d_hidden` (rows, G·C) and the part `carried` past
    /// the weights.
    pub fn before(&self, d_hidden: &[f64], carried: &[f64]) -> Vec<f64> {
        let (c, outputs) = (self.width(), self.bias_state.len());
        let mut d_before = carried.to_vec();
        for (d_before, d_hidden) in d_before.chunks_mut(c).zip(d_hidden.chunks(outputs)) {
            for (o, d) in d_hidden.iter().enumerate() {
                let weights = &self.weight_state[o * c..(o + 1) * c];
                d_before.iter_mut().zip(weights).for_each(|(sum, w)| *sum += d * w);
            }
        }
        d_before
    }
}
