//! Scalar observables that are diagonal in the occupations.
//!
//! A row of [`DIAGONAL_OBSERVABLES`] is all that an observable needs: its exact value, its estimate with an error bar, the
//! text and JSON of `eval` and `exact`, the columns of `sweep.csv` and the row of the report follow from it.

use super::Lattice;

/// Value of an observable in a configuration of `N` occupations, each 0 or 1.
pub type Evaluate = Box<dyn Fn(&[u8]) -> f64 + Send + Sync>;

/// Observable that is a function of the configuration.
pub struct DiagonalObservable {
    /// Column of `sweep.csv` and key of JSON.
    pub name: &'static str,
    /// Name in text.
    pub label: &'static str,
    /// Name and formula in HTML.
    pub html: &'static str,
    /// Returns its evaluation on a lattice.
    pub on: fn(&Lattice) -> Evaluate,
}

/// Every observable. The values of [`Observables::diagonal`](super::Observables::diagonal) have this order.
pub static DIAGONAL_OBSERVABLES: [DiagonalObservable; 6] = [
    // (1/N) Σ n_i
    DiagonalObservable { name: "density", label: "density", html: "Density ⟨n⟩", on: |_| Box::new(density) },
    // |m| and m² with m = (1/N) Σ_i (−1)^(x+y) (n_i − ½), the staggered magnetization
    DiagonalObservable {
        name: "staggered_abs",
        label: "staggered |m|",
        html: "Staggered <span class=\"formula\">⟨|m|⟩</span>",
        on: |lattice| of_magnetization(lattice, Lattice::sublattice_sign, f64::abs),
    },
    DiagonalObservable {
        name: "staggered_squared",
        label: "staggered m^2",
        html: "Staggered <span class=\"formula\">⟨m²⟩</span>",
        on: |lattice| of_magnetization(lattice, Lattice::sublattice_sign, |m| m.powi(2)),
    },
    // Mean of σᶻ_a σᶻ_b over the bonds of the lattice; 0 without bonds
    DiagonalObservable {
        name: "neighbor_zz",
        label: "neighbors zz",
        html: "Nearest neighbors <span class=\"formula\">⟨σᶻσᶻ⟩</span>",
        on: |lattice| {
            let bonds = lattice.bonds();
            Box::new(move |configuration| {
                let unequal = bonds.iter().filter(|[a, b]| configuration[*a] != configuration[*b]).count();
                if bonds.is_empty() { 0.0 } else { 1.0 - 2.0 * unequal as f64 / bonds.len() as f64 }
            })
        },
    },
    // |m| and m² with m = (1/N) Σ_i (n_i − ½), the uniform magnetization
    DiagonalObservable {
        name: "uniform_abs",
        label: "uniform |m|",
        html: "Uniform <span class=\"formula\">⟨|m|⟩</span>",
        on: |lattice| of_magnetization(lattice, |_, _| 1.0, f64::abs),
    },
    DiagonalObservable {
        name: "uniform_squared",
        label: "uniform m^2",
        html: "Uniform <span class=\"formula\">⟨m²⟩</span>",
        on: |lattice| of_magnetization(lattice, |_, _| 1.0, |m| m.powi(2)),
    },
];

/// Position of an observable in [`DIAGONAL_OBSERVABLES`].
///
/// # Panics
/// If there is no observable of this name.
pub(crate) fn index_of(name: &str) -> usize {
    DIAGONAL_OBSERVABLES.iter().position(|row| row.name == name).expect("the name of an observable")
}

fn density(configuration: &[u8]) -> f64 {
    configuration.iter().map(|n| f64::from(*n)).sum::<f64>() / configuration.len() as f64
}

/// Returns the evaluation of a function of `(1/N) Σ_i sign_i (n_i − ½)`.
fn of_magnetization(lattice: &Lattice, sign: fn(&Lattice, usize) -> f64, function: fn(f64) -> f64) -> Evaluate {
    let lattice = *lattice;
    Box::new(move |configuration| {
        let spin = |(site, n): (usize, &u8)| sign(&lattice, site) * (f64::from(*n) - 0.5);
        function(configuration.iter().enumerate().map(spin).sum::<f64>() / configuration.len() as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_formulas() {
        let of = |lattice: Lattice, configuration: &[u8]| {
            DIAGONAL_OBSERVABLES.iter().map(|row| (row.on)(&lattice)(configuration)).collect::<Vec<f64>>()
        };
        assert_eq!(of(Lattice::chain(5), &[1, 0, 1, 1, 0]), [0.6, 0.1, 0.1f64.powi(2), -0.5, 0.1, 0.1f64.powi(2)]);
        assert_eq!(of(Lattice::chain(4).periodic(), &[1, 0, 1, 1])[3], 0.0);
        assert_eq!(of(Lattice::square(2, 2), &[1, 0, 0, 1]), [0.5, 0.5, 0.25, -1.0, 0.0, 0.0]);
        assert_eq!(of(Lattice::chain(1), &[1]), [1.0, 0.5, 0.25, 0.0, 0.5, 0.25]);
    }

    #[test]
    fn names_differ() {
        for (at, row) in DIAGONAL_OBSERVABLES.iter().enumerate() {
            assert_eq!(index_of(row.name), at);
            assert!(!row.name.contains([',', ' ']) && !row.label.is_empty() && !row.html.is_empty());
        }
    }
}
