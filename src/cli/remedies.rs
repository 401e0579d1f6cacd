//! Changes of single settings that let a wave function represent the ground state of its Hamiltonian. Only changes after
//! which no shortfall is known are offered.

use ketformer::model::{check_sector, shortfall};
use ketformer::physics::{Lattice, Patch, Symmetry};

use super::groups::lattice::PERIODIC;
use super::groups::{Problem, hamiltonian, wave_function};
use super::settings::{Settings, Value};

/// Settings that can be changed, as `--vit attention=softmax`, in the order in which they are worth trying. `exact` is
/// the energy of the ground state, if it is known.
pub fn remedies(problem: &Problem, exact: Option<f64>) -> Vec<String> {
    let text = |text: &str| Value::Text(text.into());
    let has = |settings: &Settings, key: &str| settings.group().keys.iter().any(|own| own.name == key);
    let own = &problem.model_settings[0];
    let mut of_model = Vec::new();
    for (key, value) in [("attention", "softmax"), ("sector", "all"), ("proposal", "flip")] {
        let differs = has(own, key) && own.optional_text(key) != Some(value);
        of_model.extend(differs.then(|| (key, text(value))));
    }
    if has(own, "patch") && problem.model.chains().is_some() {
        of_model.extend(
            larger_patches(own.text("patch"), &problem.lattice).into_iter().map(|patch| ("patch", text(&patch))),
        );
    }
    let of_hamiltonian = [PERIODIC.name, "marshall"].into_iter().filter(|key| has(&problem.hamiltonian_settings, key));
    let name = |settings: &Settings, key: &str, value: &Value| format!("--{} {key}={value}", settings.group().name);
    let mut found = Vec::new();
    for (key, value) in of_model {
        let mut model = problem.model_settings.clone();
        model[0].resolve(key, value.clone());
        if suffices(problem, model, problem.hamiltonian_settings.clone(), exact) {
            found.push(name(own, key, &value));
        }
    }
    for key in of_hamiltonian {
        let mut settings = problem.hamiltonian_settings.clone();
        let value = Value::Switch(true);
        settings.resolve(key, value.clone());
        // The rotation changes no energy; other boundaries do.
        let exact = exact.filter(|_| key != PERIODIC.name);
        if suffices(problem, problem.model_settings.clone(), settings, exact) {
            found.push(name(&problem.hamiltonian_settings, key, &value));
        }
    }
    found
}

/// Whether no shortfall is known with these settings.
fn suffices(problem: &Problem, mut model: Vec<Settings>, settings: Settings, exact: Option<f64>) -> bool {
    let lattice = Lattice { periodic: settings.axes(PERIODIC.name), ..problem.lattice };
    let Ok(model) = wave_function::model(&mut model).map(|model| hamiltonian::in_subspace(model, &settings)) else {
        return false;
    };
    let Ok(terms) = hamiltonian::hamiltonian(&settings).terms(&lattice) else { return false };
    // Decided without exact energies.
    let Ok(symmetries) = model.symmetries(&lattice) else { return false };
    let symmetries: Vec<Symmetry> = symmetries.into_iter().map(|(_, symmetry)| symmetry).collect();
    if Symmetry::of_terms(&symmetries, &terms).contains(&false) {
        return false;
    }
    let fits = model.check(&lattice).is_ok() && check_sector(&*model, &terms).is_ok();
    fits && (model.is_complex() || terms.is_stoquastic())
        && matches!(shortfall(&*model, &lattice, &terms, exact), Ok(None))
}

/// Patches twice as long along one side or both.
fn larger_patches(patch: &str, lattice: &Lattice) -> Vec<String> {
    let [px, py] = match patch.parse() {
        Ok(Patch::Block(sides)) => sides,
        Ok(Patch::Line(sites) | Patch::TransposedLine(sites)) if lattice.ly == 1 => [sites, 1],
        Ok(Patch::Line(sites) | Patch::TransposedLine(sites)) => [1, sites],
        Err(_) => return Vec::new(),
    };
    let fits = |[px, py]: &[usize; 2]| lattice.lx.is_multiple_of(*px) && lattice.ly.is_multiple_of(*py);
    let larger = [[2 * px, py], [px, 2 * py], [2 * px, 2 * py]];
    larger.into_iter().filter(fits).map(|[px, py]| format!("{px}x{py}")).collect()
}
