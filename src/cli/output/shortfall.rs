//! Warning of a wave function that cannot represent the ground state of its Hamiltonian.

use ketformer::model::{Gap, Shortfall, shortfall};

use crate::cli::groups::Problem;
use crate::cli::output;
use crate::cli::remedies::remedies;

/// Text of the warning; `None` if no shortfall is known. `exact` is the energy of the ground state, if it is known.
pub fn text(problem: &Problem, exact: Option<f64>) -> Option<String> {
    let Problem { lattice, hamiltonian, model, .. } = problem;
    let terms = hamiltonian.terms(lattice).ok()?;
    // A search that does not converge gives no verdict.
    let found = shortfall(model.as_ref(), lattice, &terms, exact).ok()??;
    let (fact, gap) = match &found {
        Shortfall::BrokenSymmetry { names, gap } => {
            let text = format!(
                "the wave function is invariant under {}, which {} symmetry of this Hamiltonian on {}",
                names.join(" and "),
                if names.len() == 1 { "is no" } else { "are no" },
                boundaries(lattice.periodic)
            );
            (text, *gap)
        }
        Shortfall::OtherRepresentation { names, is_odd: true, gap } => {
            let text = format!(
                "the wave function is invariant under {}, and the ground state is odd under it: its momentum or parity \
                 is another one",
                names.join(" and ")
            );
            (text, *gap)
        }
        Shortfall::OtherRepresentation { names, gap, .. } => {
            let text = format!(
                "the wave function is invariant under {}, and the ground state is not: its momentum or parity is \
                 another one",
                names.join(" and ")
            );
            (text, *gap)
        }
        Shortfall::OtherSector { gap } => {
            let text = "the wave function keeps half of the sites occupied, and the ground state does not".to_string();
            (text, Some(*gap))
        }
        _ => return None,
    };
    let consequence = match gap {
        Some(Gap { reachable, ground }) => format!(
            "; the lowest energy that it can reach is {reachable:.4} (exact {ground:.4}), even if the variance vanishes"
        ),
        None => ", so that it cannot reach the ground-state energy, even if the variance vanishes".into(),
    };
    let remedies = match remedies(problem, gap.map(|gap| gap.ground).or(exact)) {
        none if none.is_empty() => "another wave function, such as --ptf or --rbm".into(),
        some => some.join(" or "),
    };
    Some(format!("{fact}{consequence}; give {remedies}"))
}

fn boundaries(periodic: [bool; 2]) -> &'static str {
    match periodic {
        [true, true] => "this lattice",
        [false, false] => "an open lattice",
        _ => "a lattice that is open along one side",
    }
}

/// Prints the warning, if there is one.
pub fn warn(problem: &Problem, exact: Option<f64>) {
    if let Some(text) = text(problem, exact) {
        output::warning(&text);
    }
}
