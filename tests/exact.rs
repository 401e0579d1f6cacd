//! Ground states against an independent exact diagonalization, tests/data/exact.json, whose `conventions` describe its
//! contents.

use ketformer::physics::{
    GroundState, Hamiltonian, Heisenberg, Lattice, Observables, Rydberg, Terms, Tfim, ground_state,
};
use serde_json::Value;

fn entries(model: &str) -> Vec<Value> {
    let data: Value = serde_json::from_str(include_str!("data/exact.json")).unwrap();
    data[model].as_array().unwrap().clone()
}

/// Number of an entry by its key. Panics if it is missing.
fn number(entry: &Value, key: &str) -> f64 {
    entry[key].as_f64().unwrap_or_else(|| panic!("{}: no number {key}", entry["name"]))
}

fn whole(entry: &Value, key: &str) -> usize {
    entry[key].as_u64().unwrap_or_else(|| panic!("{}: no whole number {key}", entry["name"])) as usize
}

/// Asserts that two numbers are close. NaN is not close to any number.
fn close(name: &str, what: &str, got: f64, expected: f64, tolerance: f64) {
    let near = (got - expected).abs() <= tolerance;
    assert!(near, "{name}: {what} is {got}, expected {expected} within {tolerance:e}");
}

fn solve(entry: &Value, terms: &Terms) -> GroundState {
    let name = entry["name"].as_str().unwrap();
    let ground = ground_state(terms, whole(entry, "N")).unwrap();
    close(name, "energy", ground.energy, number(entry, "E"), 1e-9);
    close(name, "residual", ground.residual, 0.0, 1e-9);
    ground
}

fn check_rydberg(entry: &Value) {
    let name = entry["name"].as_str().unwrap();
    let lattice = Lattice::square(whole(entry, "Lx"), whole(entry, "Ly"));
    let rydberg = Rydberg { v: number(entry, "V"), delta: number(entry, "delta"), omega: number(entry, "Omega") };
    let terms = rydberg.terms(&lattice).unwrap();
    let ground = solve(entry, &terms);
    assert!(ground.state.iter().sum::<f64>() > 0.0, "{name}: the sum of amplitudes is not positive");
    let seen = Observables::of(&terms, &lattice, &ground.state).unwrap();
    for (what, got, key) in [
        ("energy", seen.energy, "E"),
        ("diagonal energy", seen.energy_diagonal, "E_diag"),
        ("energy of the moves", seen.energy_moves, "E_offdiag"),
        ("density", seen.density(), "n_mean"),
        ("sigma_x", seen.sigma_x, "sigma_x_mean"),
        ("staggered", seen.staggered, "stag_mean"),
        ("staggered_abs", seen.staggered_abs(), "stag_abs_mean"),
        ("staggered_squared", seen.staggered_squared(), "stag_sq_mean"),
        ("magnetization", seen.magnetization, "mag_mean"),
        ("magnetization_abs", seen.magnetization_abs, "mag_abs_mean"),
        ("magnetization_squared", seen.magnetization_squared, "mag_sq_mean"),
    ] {
        close(name, what, got, number(entry, key), 1e-7);
    }
    // The data number sites with x fastest, Lx·y + x.
    let densities = entry["n_site"].as_array().unwrap();
    assert_eq!(densities.len(), lattice.sites());
    for (site, &density) in seen.density_per_site.iter().enumerate() {
        let (x, y) = lattice.position(site);
        close(name, &format!("density of site {site}"), density, densities[lattice.lx * y + x].as_f64().unwrap(), 1e-7);
    }
}

/// The entries are split between two tests, which can run in parallel.
#[test]
fn rydberg_with_detuning_below_one() {
    let entries = entries("rydberg");
    let half: Vec<&Value> = entries.iter().filter(|entry| number(entry, "delta") < 1.0).collect();
    assert_eq!(half.len(), 2);
    half.into_iter().for_each(check_rydberg);
}

#[test]
fn rydberg_with_detuning_of_one_and_more() {
    let entries = entries("rydberg");
    let half: Vec<&Value> = entries.iter().filter(|entry| number(entry, "delta") >= 1.0).collect();
    assert_eq!(half.len(), 12);
    half.into_iter().for_each(check_rydberg);
}

/// Lattice with its boundaries, from the name of an entry.
fn geometry(entry: &Value) -> Lattice {
    let name = entry["name"].as_str().unwrap();
    let periodic = name.contains("pbc");
    assert!(periodic || name.contains("obc"), "{name}: which boundary?");
    let lattice = if name.contains("chain") { Lattice::chain(whole(entry, "N")) } else { Lattice::square(4, 4) };
    Lattice { periodic: [periodic; 2], ..lattice }
}

#[test]
fn ising_in_a_transverse_field() {
    let entries = entries("tfim");
    assert_eq!(entries.len(), 10);
    for entry in &entries {
        let name = entry["name"].as_str().unwrap();
        let lattice = geometry(entry);
        let terms = Tfim { j: number(entry, "J"), h: number(entry, "h") }.terms(&lattice).unwrap();
        assert_eq!(terms.pairs.len(), whole(entry, "nbonds"), "{name}");
        assert!(terms.is_stoquastic());
        let ground = solve(entry, &terms);
        let seen = Observables::of(&terms, &lattice, &ground.state).unwrap();
        let sites = lattice.sites() as f64;
        close(name, "sigma_x", seen.sigma_x, number(entry, "sigma_x_mean"), 1e-7);
        close(name, "magnetization_abs", seen.magnetization_abs / sites, number(entry, "mz_abs"), 1e-7);
        close(name, "magnetization_squared", seen.magnetization_squared / sites.powi(2), number(entry, "mz_sq"), 1e-7);
    }
}

#[test]
fn heisenberg_with_and_without_the_marshall_rotation() {
    let entries = entries("heisenberg");
    assert_eq!(entries.len(), 5);
    for entry in &entries {
        let name = entry["name"].as_str().unwrap();
        let lattice = geometry(entry);
        let plain = Heisenberg { j1: number(entry, "J1"), j2: number(entry, "J2"), marshall: false };
        let terms = plain.terms(&lattice).unwrap();
        assert_eq!(terms.pairs.len(), whole(entry, "nbonds"), "{name}");
        assert!(!terms.is_stoquastic() && terms.conserves_magnetization());
        let ground = solve(entry, &terms);
        let seen = Observables::of(&terms, &lattice, &ground.state).unwrap();
        close(name, "magnetization_squared", seen.magnetization_squared, 0.0, 1e-7);
        if let Some(expected) = entry["stag_Sz_sq"].as_f64() {
            close(name, "staggered_squared", seen.staggered_squared(), expected, 1e-7);
        }
        // The rotation conserves the energy and, without frustration, removes all signs. With frustration, the data
        // contain the weight Σ ψ(σ)² of the configurations whose signs follow the Marshall rule.
        let terms = Heisenberg { marshall: true, ..plain }.terms(&lattice).unwrap();
        let turned = solve(entry, &terms);
        let difference = turned.state.iter().map(|a| a * a.abs()).sum::<f64>().abs();
        assert_eq!(terms.is_stoquastic(), plain.j2 == 0.0, "{name}");
        close(name, "weight of the Marshall sign", 0.5 * (1.0 + difference), number(entry, "marshall_weight"), 1e-6);
    }
}
