//! Order parameters of Hamiltonians, and the largest peak of a structure factor.

use super::{Lattice, index_of};

/// Magnetization that is largest in the ordered phase of a Hamiltonian, in the z basis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// `m = (1/N) Σ_i (n_i − ½)`, of ferromagnets. `N ⟨m²⟩` is the structure factor at `k = 0`.
    Uniform,
    /// `m = (1/N) Σ_i (−1)^(x+y) (n_i − ½)`, of antiferromagnets and of excitations that repel their neighbors. `N ⟨m²⟩`
    /// is the structure factor at `k = (π, π)`.
    Staggered,
}

impl Order {
    /// All orders.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Staggered];

    /// Name in text: `uniform` or `staggered`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Staggered => "staggered",
        }
    }

    /// Places of `⟨|m|⟩` and `⟨m²⟩` in [`DIAGONAL_OBSERVABLES`](super::DIAGONAL_OBSERVABLES).
    pub(crate) fn rows(self) -> [usize; 2] {
        match self {
            Self::Uniform => ["uniform_abs", "uniform_squared"],
            Self::Staggered => ["staggered_abs", "staggered_squared"],
        }
        .map(index_of)
    }
}

/// Largest peak of a structure factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Index of the wave vector `k = 2π (a/Lx, b/Ly)`, `a·Ly + b`.
    pub wave: usize,
    /// Whether the value at `k = 0` is the connected one, `N (⟨m²⟩ − ⟨m⟩²)`.
    pub is_connected: bool,
}

impl Peak {
    /// Value of the peak: that of the structure factor, or the `connected` one.
    pub fn value<T: Copy>(&self, structure_factor: &[T], connected: T) -> T {
        if self.is_connected { connected } else { structure_factor[self.wave] }
    }

    /// `k` in units of π.
    pub fn vector(&self, lattice: &Lattice) -> [f64; 2] {
        let (a, b) = lattice.position(self.wave);
        [2.0 * a as f64 / lattice.lx as f64, 2.0 * b as f64 / lattice.ly as f64]
    }

    /// Largest peak of the structure factor `values` by wave vector, `k = 0` first; `None` if there are none.
    ///
    /// A Hamiltonian that is invariant under a flip of all spins has `⟨m⟩ = 0`, and `S(0)` is a peak as every other.
    /// Without that symmetry `S(0)` contains the mean density, which is not an order, and its `connected` part is
    /// compared instead.
    pub fn of(values: &[f64], connected: f64, is_flip_symmetric: bool) -> Option<Self> {
        let at_zero = if is_flip_symmetric { *values.first()? } else { connected };
        let value = |wave: usize| if wave == 0 { at_zero } else { values[wave] };
        // The first of equal values.
        let wave = (0..values.len()).rev().max_by(|a, b| value(*a).total_cmp(&value(*b)))?;
        Some(Self { wave, is_connected: wave == 0 && !is_flip_symmetric })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_is_the_peak() {
        let peak = |values: &[f64], connected, symmetric| Peak::of(values, connected, symmetric).unwrap();
        assert_eq!(peak(&[2.8, 0.1, 0.2], 0.0, true), Peak { wave: 0, is_connected: false });
        assert_eq!(peak(&[2.8, 0.1, 0.2], 0.05, false), Peak { wave: 2, is_connected: false });
        assert_eq!(peak(&[2.8, 0.1, 0.2], 0.5, false), Peak { wave: 0, is_connected: true });
        assert_eq!(peak(&[0.1, 0.3, 0.3], 0.5, true).wave, 1);
        assert_eq!(Peak::of(&[], 1.0, true), None);
    }

    #[test]
    fn every_order_has_its_observables() {
        assert_eq!(
            Order::Uniform.rows().map(|row| super::super::DIAGONAL_OBSERVABLES[row].name),
            ["uniform_abs", "uniform_squared"]
        );
        assert_eq!(Order::ALL.map(Order::name), ["uniform", "staggered"]);
    }
}
