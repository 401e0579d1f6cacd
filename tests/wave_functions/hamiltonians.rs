//! Hamiltonians that together use every part of [`Terms`], with irregular couplings.

use ketformer::physics::{Hamiltonian, Lattice, Move, MoveCondition, Pair, Rydberg, Terms};

/// Hamiltonian with a name and custom terms.
pub struct Handmade {
    name: &'static str,
    terms: fn(&Lattice) -> Terms,
}

impl Hamiltonian for Handmade {
    fn name(&self) -> &'static str {
        self.name
    }

    fn terms(&self, lattice: &Lattice) -> ketformer::Result<Terms> {
        Ok((self.terms)(lattice))
    }
}

/// Irregular number in (0, 1] for each index.
fn scatter(i: usize) -> f64 {
    ((i * 37 + 11) % 23 + 1) as f64 / 23.0
}

/// All pairs of neighbors, and some pairs of distant sites.
fn bonds(lattice: &Lattice) -> Vec<[usize; 2]> {
    let n = lattice.sites();
    let all = (0..n).flat_map(|a| (0..a).map(move |b| [a, b]));
    all.filter(|[a, b]| lattice.distance_squared(*a, *b) == 1 || (a * 5 + b * 3).is_multiple_of(7)).collect()
}

/// Exchanges only, which leave the empty and the full configuration without connected configurations.
pub const EXCHANGE: Handmade = Handmade {
    name: "exchange",
    terms: |lattice| {
        let bonds = bonds(lattice);
        Terms {
            constant: -1.25,
            field: (0..lattice.sites()).map(|i| scatter(i) - 0.4).collect(),
            pairs: bonds.iter().map(|[a, b]| Pair { sites: [*a, *b], coefficient: scatter(a + 3 * b) }).collect(),
            moves: bonds.iter().map(|[a, b]| Move::exchange(*a, *b, -scatter(2 * a + b))).collect(),
            ..Terms::default()
        }
    },
};

/// The same with amplitudes of either sign, so that ground states change sign.
pub const FRUSTRATED: Handmade = Handmade {
    name: "frustrated",
    terms: |lattice| {
        let mut terms = (EXCHANGE.terms)(lattice);
        terms.moves.iter_mut().step_by(2).for_each(|step| step.amplitude *= -1.5);
        terms
    },
};

/// Ising model on a chain or square, with a transverse field that differs from site to site.
pub const ISING: Handmade = Handmade {
    name: "ising",
    terms: |lattice| Terms {
        constant: 0.75,
        field: (0..lattice.sites()).map(|i| 1.5 - 3.0 * scatter(i + 4)).collect(),
        pairs: bonds(lattice)
            .into_iter()
            .map(|sites| Pair { sites, coefficient: 2.0 * scatter(sites[0]) - 1.0 })
            .collect(),
        moves: (0..lattice.sites()).rev().map(|i| Move::flip(i, -scatter(i + 1))).collect(),
        ..Terms::default()
    },
};

/// Every kind of move, unsorted, with repeats and zeros, on some sites only.
pub const MIXED: Handmade = Handmade {
    name: "mixed",
    terms: |lattice| {
        let mut moves = Vec::new();
        for [a, b] in bonds(lattice) {
            let amplitude = -0.5 * scatter(a + b);
            match (a + b) % 4 {
                0 => moves.push(Move::flip(a, amplitude)),
                1 => moves.push(Move { condition: MoveCondition::Always, ..Move::exchange(a, b, amplitude) }),
                2 => moves.push(Move { condition: MoveCondition::Always, ..Move::exchange(b, a, amplitude) }),
                _ => moves.push(Move::exchange(b, a, amplitude)),
            }
        }
        moves.push(moves[0]);
        moves.push(Move::flip(0, 0.0));
        Terms {
            field: (0..lattice.sites()).map(|i| 0.5 - scatter(i)).collect(),
            pairs: vec![Pair { sites: [1, 0], coefficient: 0.5 }, Pair { sites: [0, 1], coefficient: 0.25 }],
            moves,
            ..Terms::default()
        }
    },
};

/// Hamiltonians for the tests. Each wave function is tested with those that it supports.
pub fn hamiltonians() -> [&'static dyn Hamiltonian; 5] {
    const RYDBERG: Rydberg = Rydberg { v: 7.0, delta: 1.0, omega: 1.0 };
    [&RYDBERG, &EXCHANGE, &FRUSTRATED, &ISING, &MIXED]
}
