//! Notes on conventions that apply to a Hamiltonian on its lattice, and on couplings without effect.

use ketformer::physics::Lattice;

use super::{heisenberg, rydberg, tfim, xxz};
use crate::cli::settings::Settings;

/// Notes on the Hamiltonian of `settings` on `lattice`, in the order of their importance; usually none.
pub fn notes(settings: &Settings, lattice: &Lattice) -> Vec<String> {
    let name = settings.group().name;
    let is = |group: &str| name == group;
    let nonzero = |key: &str| settings.real(key) != 0.0;
    let (has_bonds, has_diagonals) = (!lattice.bonds().is_empty(), !lattice.diagonal_bonds().is_empty());
    let mut notes = Vec::new();

    let field = match name {
        _ if is(tfim::GROUP.name) => Some("h"),
        _ if is(rydberg::GROUP.name) => Some("Omega"),
        _ if is(xxz::GROUP.name) => Some("hx"),
        _ => None,
    };
    notes.extend(field.filter(|key| settings.real(key) < 0.0).map(|key| {
        format!(
            "{key} is negative: the wave function is that after a rotation of all sites by π about z, which changes \
             the sign of {key} and no energy; sigma_x is that before the rotation"
        )
    }));

    let neighbors: &[&str] = match name {
        _ if is(heisenberg::GROUP.name) => &["J1"],
        _ if is(rydberg::GROUP.name) => &[],
        _ => &["J"],
    };
    for key in neighbors.iter().filter(|key| !has_bonds && nonzero(key)) {
        notes.push(format!("{key}={} has no effect: {lattice} has no nearest neighbors", settings.real(key)));
    }
    if is(heisenberg::GROUP.name) && nonzero("J2") && !has_diagonals {
        notes.push(format!("J2={} has no effect: {lattice} has no next-nearest neighbors", settings.real("J2")));
    }
    if is(xxz::GROUP.name) && !nonzero("J") && has_bonds {
        notes.push(format!("Delta={} has no effect: it multiplies J=0", settings.real("Delta")));
    }

    let periodic = || [lattice.lx, lattice.ly].into_iter().zip(lattice.periodic).filter(|(_, periodic)| *periodic);
    if is(rydberg::GROUP.name) {
        if periodic().any(|(side, _)| side > 1) {
            let text = "periodic boundaries: each pair of atoms interacts once, at the distance of the shorter path";
            notes.push(text.into());
        }
        return notes;
    }
    if periodic().any(|(side, _)| side == 2) {
        notes.push(
            "periodic side of 2 sites: both neighbors along it are the same site, and the bond counts once".into(),
        );
    }
    let is_chain = lattice.lx == 1 || lattice.ly == 1;
    if is(heisenberg::GROUP.name) && nonzero("J2") && is_chain && periodic().any(|(side, _)| side == 4) {
        let text = "ring of 4 sites: both second neighbors of a site are the same site, and the bond counts once";
        notes.push(text.into());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::groups::hamiltonian::ALL;

    fn of(group: &str, words: &str, lattice: Lattice) -> String {
        let group = ALL.iter().find(|entry| entry.group.name == group).unwrap().group;
        let words: Vec<String> = words.split_whitespace().map(String::from).collect();
        notes(&group.parse(&words).unwrap(), &lattice).join("\n")
    }

    #[test]
    fn usual_settings_have_no_notes() {
        for (group, words, lattice) in [
            ("rydberg", "", Lattice::square(4, 4)),
            ("rydberg", "Omega=0 V=-1 delta=-2", Lattice::chain(1)),
            ("tfim", "h=0 J=-1", Lattice::square(4, 4).periodic()),
            ("heisenberg", "J2=0.5", Lattice::square(4, 4).periodic()),
            ("heisenberg", "J2=0.5", Lattice::chain(6).periodic()),
            ("heisenberg", "", Lattice::chain(3)),
            ("xxz", "hz=-1 Delta=-0.5 J=-1", Lattice::square(2, 3)),
        ] {
            assert_eq!(of(group, words, lattice), "", "{group} {words} {lattice}");
        }
    }

    #[test]
    fn conventions_are_named_where_they_apply() {
        for (group, words, lattice, part) in [
            ("tfim", "h=-0.5", Lattice::square(4, 4), "h is negative: the wave function is that after a rotation"),
            ("rydberg", "Omega=-2", Lattice::square(4, 4), "Omega is negative"),
            ("xxz", "hx=-0.1", Lattice::chain(4), "hx is negative"),
            ("rydberg", "", Lattice::chain(6).periodic(), "the shorter path"),
            ("tfim", "", Lattice::square(2, 2).periodic(), "counts once"),
            ("xxz", "", Lattice { periodic: [false, true], ..Lattice::square(3, 2) }, "counts once"),
            ("heisenberg", "J2=0.5", Lattice::chain(4).periodic(), "ring of 4 sites"),
            ("heisenberg", "J2=0.5", Lattice::chain(3).periodic(), "J2=0.5 has no effect: 3x1 has no next-nearest"),
            ("heisenberg", "J2=0.5", Lattice::chain(2), "J2=0.5 has no effect"),
            ("heisenberg", "J1=2", Lattice::chain(1), "J1=2 has no effect: 1x1 has no nearest"),
            ("tfim", "", Lattice::chain(1), "J=1 has no effect"),
            ("xxz", "J=0 Delta=2", Lattice::chain(3), "Delta=2 has no effect"),
        ] {
            let text = of(group, words, lattice);
            assert!(text.contains(part) && !text.contains('\n'), "{group} {words} {lattice}: {text}");
        }
    }
}
