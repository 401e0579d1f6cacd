//! Problem to solve, which the groups of settings define together.

use ketformer::Result;
use ketformer::model::{Model, check_sector};
use ketformer::physics::{Hamiltonian, Lattice};
use ketformer::vmc::{TableLimits, check_pairs};

use super::hamiltonian::{self, Hamiltonians};
use super::lattice;
use super::wave_function::patch::weights_note;
use super::wave_function::{self, WaveFunctions};
use crate::cli::output;
use crate::cli::settings::typed::Typed;
use crate::cli::settings::{Extent, Settings, Value};

/// Problem to solve: lattice, Hamiltonian and wave function, checked as far as possible without a GPU.
pub struct Problem {
    /// The lattice that all groups agree on.
    pub lattice: Lattice,
    /// The Hamiltonian.
    pub hamiltonian: Box<dyn Hamiltonian>,
    /// The wave function.
    pub model: Box<dyn Model>,
    /// Resolved settings of the wave function's groups, for the settings file.
    pub model_settings: Vec<Settings>,
    /// Resolved settings of the Hamiltonian's group.
    pub hamiltonian_settings: Settings,
}

impl Problem {
    /// Checks the given groups. `extent` is L of the command, and `memory` its limit of GPU memory.
    ///
    /// # Errors
    /// `ErrorKind::Settings` for keys, values, and sizes that do not fit each other, `ErrorKind::Memory` for a lattice
    /// whose pairs do not fit into the memory.
    pub fn new(
        model: &Typed<WaveFunctions>,
        hamiltonian: &Typed<Hamiltonians>,
        extent: Option<Extent>,
        memory: Option<u64>,
    ) -> Result<Self> {
        let mut hamiltonian_settings = hamiltonian::settings(hamiltonian, &[])?;
        let mut model_settings = wave_function::settings(model)?;
        let lattice = lattice::agree(extent, model_settings.first(), &hamiltonian_settings)?;
        hamiltonian_settings.resolve("Lx", Value::Count(lattice.lx as u64));
        hamiltonian_settings.resolve("Ly", Value::Count(lattice.ly as u64));
        let model = hamiltonian::in_subspace(wave_function::model(&mut model_settings)?, &hamiltonian_settings);
        let hamiltonian = hamiltonian::hamiltonian(&hamiltonian_settings);
        let limits = TableLimits { memory: memory.unwrap_or(u64::MAX), binding: u64::MAX };
        check_pairs(&*hamiltonian, &lattice, limits)?;
        let terms = hamiltonian.terms(&lattice)?;
        model.check(&lattice)?;
        check_sector(&*model, &terms)?;
        if !model.is_complex() && !terms.is_stoquastic() {
            let rotation = hamiltonian::helpful_rotation(&hamiltonian_settings, &lattice);
            let rotation = rotation.map_or(String::new(), |value| format!("marshall={value}, "));
            let text = format!(
                "a positive off-diagonal amplitude makes the ground state change signs, which Ψ = √P cannot; give \
                 {rotation}a complex wave function (--vit, or --ptf phase=true), or the other sign of the coupling"
            );
            return Err(hamiltonian_settings.group().error(text));
        }
        Ok(Self { lattice, hamiltonian, model, model_settings, hamiltonian_settings })
    }

    /// Prints the notes on the Hamiltonian.
    pub fn show_notes(&self) {
        hamiltonian::notes(&self.hamiltonian_settings, &self.lattice).iter().for_each(|note| output::note(note));
    }

    /// Prints the note on the order of sites that weights from a file need.
    pub fn show_weights_note(&self) {
        let sides = [self.lattice.lx, self.lattice.ly];
        let note = self.model_settings.first().and_then(|settings| weights_note(settings, sides));
        note.iter().for_each(|note| output::note(note));
    }

    /// Resolved settings of all groups of the problem.
    pub fn settings(&self) -> impl Iterator<Item = &Settings> {
        self.model_settings.iter().chain([&self.hamiltonian_settings])
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::{Arguments, Command};
    use crate::cli::output::flags::with_flags;

    /// Problem of `--ptf …`, `--rydberg …` and L.
    fn problem(ptf: &str, rydberg: &str, sites: Option<u64>) -> Result<Problem> {
        typed(&format!("train --ptf {ptf} --rydberg {rydberg}"), sites)
    }

    fn typed(line: &str, sites: Option<u64>) -> Result<Problem> {
        let words = ["ketformer"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Train(arguments) => {
                Problem::new(&arguments.groups.model, &arguments.groups.hamiltonian, sites.map(Extent::Sites), None)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_problem_takes_the_values_that_were_typed() {
        let made = problem("patch=2x2 Nh=32 nhead=4 num_layers=3 ffn=64", "V=2 delta=3 Omega=0.5", Some(36)).unwrap();
        assert_eq!((made.lattice.lx, made.lattice.ly), (6, 6));
        let terms = made.hamiltonian.terms(&made.lattice).unwrap();
        assert_eq!((terms.pairs[0].coefficient, terms.field[0], terms.moves[0].amplitude), (2.0, -3.0, -0.25));
        let ptf = wave_function::ptf::model(&made.model_settings[0]).unwrap();
        assert_eq!((ptf.width, ptf.heads, ptf.layers, ptf.feed_forward, ptf.patch.to_string().as_str()), {
            (32, 4, 3, 64, "2x2")
        });
        let layout = |model: &dyn Model| model.layout(&made.lattice).unwrap().parameters();
        assert_eq!(layout(&*made.model), layout(&ptf));
    }

    #[test]
    fn sizes_given_in_several_places_must_agree() {
        let lattice = |ptf: &str, rydberg: &str, sites| problem(ptf, rydberg, sites).map(|made| made.lattice);
        assert_eq!(lattice("", "", None).unwrap(), Lattice::square(4, 4));
        assert_eq!(lattice("L=36", "", None).unwrap(), Lattice::square(6, 6));
        assert_eq!(lattice("", "L=36", None).unwrap(), Lattice::square(6, 6));
        assert_eq!(lattice("L=12", "Lx=3 Ly=4 L=12", Some(12)).unwrap(), Lattice::square(3, 4));
        assert_eq!(lattice("patch=4", "Lx=16 Ly=1", None).unwrap(), Lattice::chain(16));
        assert_eq!(lattice("L=4x6", "", None).unwrap(), Lattice::square(4, 6));
        assert_eq!(lattice("L=4x6", "L=24", Some(24)).unwrap(), Lattice::square(4, 6));
        let message =
            |ptf: &str, rydberg: &str, sites| with_flags(&lattice(ptf, rydberg, sites).unwrap_err().to_string());
        assert!(message("L=64", "", Some(16)).contains("disagrees with --ptf L=64"));
        assert!(message("", "L=64", Some(16)).contains("disagrees with --rydberg L=64"));
        assert!(message("", "Lx=3 Ly=4", Some(16)).contains("L=12"));
        assert!(message("L=4x3", "Lx=3 Ly=4", None).contains("--ptf L=4x3 disagrees with Lx=3 Ly=4"));
        assert!(message("", "Lx=16", Some(16)).contains("Ly="));
        assert!(message("", "Ly=16", None).contains("Lx="));
        assert!(message("", "", Some(15)).contains("Lx="));
    }

    #[test]
    fn the_rotation_is_advised_only_where_it_helps() {
        let message = |line: &str| typed(&format!("train {line}"), Some(4)).map(|_| ()).unwrap_err().to_string();
        for (line, advice) in [
            ("--heisenberg", Some("marshall=true")),
            ("--rbm --heisenberg J2=-0.5", Some("marshall=true")),
            ("--xxz J=2", Some("marshall=true")),
            ("--heisenberg J1=-1 marshall=true", Some("marshall=false")),
            ("--heisenberg J2=0.5", None),
            ("--heisenberg J2=0.5 marshall=true", None),
            ("--xxz hx=0.5 marshall=true", None),
        ] {
            let text = message(line);
            assert!(text.contains("phase=true"), "{line}: {text}");
            match advice {
                Some(advice) => assert!(text.contains(&format!("give {advice}, ")), "{line}: {text}"),
                None => assert!(!text.contains("marshall"), "{line}: {text}"),
            }
        }
        assert!(typed("train --ptf phase=true --heisenberg", Some(4)).is_ok());
    }

    #[test]
    fn what_the_wave_function_cannot_do_is_refused() {
        let message =
            |ptf: &str, rydberg: &str| with_flags(&problem(ptf, rydberg, None).map(|_| ()).unwrap_err().to_string());
        assert!(message("patch=3x3", "").contains("patch"));
        assert!(message("patch=0", "").contains("patch="));
        assert!(message("patch=2x2x2", "").contains("patch="));
        assert!(message("Nh=32 nhead=5", "").contains("nhead"));
        assert!(message("dropout=0.1", "").contains("dropout=0"));
        assert!(message("repeat_pre=True", "").contains("repeat_pre"));
        assert!(problem("", "Omega=-1", None).is_ok());
        assert!(message("", "V=NaN").contains("finite"));
        assert!(problem("dropout=0.0 repeat_pre=False", "", None).is_ok());
        assert!(message("attention=quadratic", "").contains("softmax, linear"));
    }
}
