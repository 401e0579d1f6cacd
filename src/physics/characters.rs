//! The real one-dimensional representations of a group of symmetries: its homomorphisms into {1, −1}.
//!
//! Each is 1 on every square, so on the subgroup K of products of squares. G/K is a product of groups of two, and a
//! representation gives each factor a sign.

use std::collections::HashMap;

use super::symmetry::Symmetry;

/// All of them, each a sign for every element; the trivial one first. The elements are a group, the identity first.
pub(super) fn real_characters(elements: &[Symmetry]) -> Vec<Vec<i8>> {
    let place: HashMap<&Symmetry, usize> = elements.iter().zip(0..).collect();
    let product = |a: usize, b: usize| place[&elements[a].after(&elements[b])];
    let squares = generated((0..elements.len()).map(|g| product(g, g)), elements.len(), &product);
    // Which factors of G/K an element is in, as bits. What is labelled is a subgroup H; the first element outside of it
    // makes one of H and its other coset, twice as large.
    let mut labels: Vec<Option<u32>> = squares.into_iter().map(|inside| inside.then_some(0)).collect();
    let mut factors = 0;
    while let Some(outside) = labels.iter().position(Option::is_none) {
        for h in 0..elements.len() {
            if let Some(label) = labels[h].filter(|label| label >> factors == 0) {
                labels[product(h, outside)] = Some(label | 1 << factors);
            }
        }
        factors += 1;
    }
    let sign = |signs: u32, label: u32| if (signs & label).count_ones().is_multiple_of(2) { 1 } else { -1 };
    (0..1 << factors).map(|signs| labels.iter().flatten().map(|label| sign(signs, *label)).collect()).collect()
}

/// Which of `order` elements are products of `generators`.
fn generated(
    generators: impl Iterator<Item = usize>,
    order: usize,
    product: &impl Fn(usize, usize) -> usize,
) -> Vec<bool> {
    let mut inside = vec![false; order];
    let (mut members, mut used) = (vec![0], Vec::new());
    inside[0] = true;
    for generator in generators {
        if inside[generator] {
            continue;
        }
        used.push(generator);
        let mut left = members.clone();
        while let Some(member) = left.pop() {
            for &by in &used {
                let next = product(member, by);
                if !inside[next] {
                    inside[next] = true;
                    members.push(next);
                    left.push(next);
                }
            }
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use crate::physics::{Hamiltonian, Heisenberg, Lattice, Rydberg, SymmetryGroup};

    #[test]
    fn characters_are_homomorphisms_and_orthogonal() {
        let (periodic, open) = (Heisenberg::default(), Heisenberg { periodic: false, ..Heisenberg::default() });
        for (hamiltonian, lattice, count) in [
            // Translations along x and y are conjugate; a sign for them, for reflections, the exchange and the flip.
            (&periodic as &dyn Hamiltonian, Lattice::square(4, 4), 16),
            // A translation by a third of the way has no sign.
            (&periodic, Lattice::square(3, 3), 8),
            (&periodic, Lattice::chain(6), 8),
            (&periodic, Lattice::square(4, 6), 32),
            (&open, Lattice::square(3, 2), 8),
            (&Rydberg::default(), Lattice::square(3, 3), 4),
            (&Rydberg::default(), Lattice::chain(1), 1),
        ] {
            let group = SymmetryGroup::new(&hamiltonian.terms(&lattice).unwrap(), &lattice).unwrap();
            let (elements, characters) = (group.elements(), group.characters());
            assert_eq!(characters.len(), count, "{} {lattice}", hamiltonian.name());
            assert!(characters[0].iter().all(|sign| *sign == 1));
            let place = |g| elements.iter().position(|other| *other == g).unwrap();
            for (a, g) in elements.iter().enumerate().step_by(3) {
                for (b, h) in elements.iter().enumerate().step_by(5) {
                    let both = place(g.after(h));
                    assert!(characters.iter().all(|signs| signs[both] == signs[a] * signs[b]));
                }
            }
            for (c, first) in characters.iter().enumerate() {
                for second in &characters[..c] {
                    let overlap: i32 = first.iter().zip(second).map(|(a, b)| i32::from(a * b)).sum();
                    assert_eq!(overlap, 0);
                }
            }
        }
    }
}
