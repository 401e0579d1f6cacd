//! Settings of a run: lattice, Hamiltonian, wave function and training, and the command line of the same run.

use ketformer::model::{Model, PositionalEncoding, Ptf, Rbm, Rnn};
use ketformer::physics::{Hamiltonian, Lattice, Patch, Rydberg, Tfim};
use ketformer::vmc::TrainConfig;
use serde::{Deserialize, Serialize};

/// Hamiltonian with its couplings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Couplings {
    /// −Ω/2 Σ σˣ − δ Σ n + Σ Ω (R_b/r)⁶ n n
    Rydberg {
        /// δ
        delta: f64,
        /// R_b in units of the lattice spacing
        radius: f64,
        /// Ω
        omega: f64,
    },
    /// −J Σ σᶻσᶻ − h Σ σˣ
    Tfim {
        /// J
        j: f64,
        /// h
        h: f64,
    },
}

impl Couplings {
    /// Rydberg atoms close to the transition into the checkerboard.
    pub const RYDBERG: Self = Self::Rydberg { delta: 1.2, radius: 1.2, omega: 1.0 };
    /// Ising spins close to the critical field of the square lattice.
    pub const TFIM: Self = Self::Tfim { j: 1.0, h: 3.0 };

    /// The Hamiltonian of the library.
    pub fn hamiltonian(&self) -> Box<dyn Hamiltonian> {
        match *self {
            Self::Rydberg { delta, omega, .. } => Box::new(Rydberg { v: self.neighbor_energy(), delta, omega }),
            Self::Tfim { j, h } => Box::new(Tfim { j, h }),
        }
    }

    /// V = Ω R_b⁶, the energy of two excited neighbors.
    fn neighbor_energy(&self) -> f64 {
        match *self {
            Self::Rydberg { radius, omega, .. } => {
                // Products have the same bits on all systems, `powi` does not.
                let cube = radius * radius * radius;
                omega * (cube * cube)
            }
            Self::Tfim { .. } => 0.0,
        }
    }

    /// Whether `self` and `other` differ in numbers only.
    pub fn is_same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Family of wave functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Patched transformer.
    Ptf,
    /// Recurrent network.
    Rnn,
    /// Restricted Boltzmann machine.
    Rbm,
}

/// Settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Sites along x and y.
    pub sides: [usize; 2],
    /// Hamiltonian.
    pub couplings: Couplings,
    /// Family of wave functions.
    pub family: Family,
    /// Width of the transformer or of the recurrent state.
    pub width: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Layers of the transformer.
    pub layers: usize,
    /// Whether the transformer has positional encodings.
    pub has_positions: bool,
    /// Samples of a step.
    pub samples: usize,
    /// Learning rate of Adam.
    pub learning_rate: f64,
    /// Seed of weights and samples.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sides: [4, 4],
            couplings: Couplings::RYDBERG,
            family: Family::Ptf,
            width: 16,
            heads: 4,
            layers: 2,
            has_positions: true,
            samples: 128,
            learning_rate: 5e-3,
            seed: 0,
        }
    }
}

impl Settings {
    /// Width of the feed-forward part, in units of that of the transformer.
    const FEED_FORWARD: usize = 2;

    /// Settings of a JSON object, whose missing fields have their defaults.
    ///
    /// # Errors
    /// A message for another text, and for settings that no trainer takes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = serde_json::from_str(text).map_err(|error| format!("settings {text}: {error}"))?;
        let fault = |error: ketformer::Error| format!("settings {text}: {error}");
        let lattice = settings.lattice();
        settings.model().check(&lattice).map_err(fault)?;
        settings.train_config().check().map_err(fault)?;
        settings.couplings.hamiltonian().terms(&lattice).map_err(fault)?;
        Ok(settings)
    }

    /// The lattice, with open boundaries.
    pub fn lattice(&self) -> Lattice {
        let [lx, ly] = self.sides;
        Lattice::square(lx, ly)
    }

    /// The wave function, one site per patch.
    pub fn model(&self) -> Box<dyn Model> {
        let (patch, width) = (Patch::Block([1, 1]), self.width);
        match self.family {
            Family::Ptf => Box::new(self.ptf()),
            Family::Rnn => Box::new(Rnn { patch, width, ..Rnn::default() }),
            Family::Rbm => Box::new(Rbm::default()),
        }
    }

    /// The transformer of these sizes.
    pub fn ptf(&self) -> Ptf {
        Ptf {
            patch: Patch::Block([1, 1]),
            width: self.width,
            heads: self.heads,
            layers: self.layers,
            feed_forward: Self::FEED_FORWARD * self.width,
            position: self.position(),
            ..Ptf::default()
        }
    }

    fn position(&self) -> PositionalEncoding {
        match self.has_positions {
            true => PositionalEncoding::LptfCompatible,
            false => PositionalEncoding::None,
        }
    }

    /// Settings of the trainer.
    pub fn train_config(&self) -> TrainConfig {
        let (samples, learning_rate, seed) = (self.samples, self.learning_rate, self.seed);
        TrainConfig { samples, learning_rate, seed, ..TrainConfig::default() }
    }

    /// Whether weights of a run with these settings are weights of a run with `other`.
    pub fn shares_weights(&self, other: &Self) -> bool {
        let shape = |of: &Self| (of.sides, of.family, of.width, of.heads, of.layers, of.has_positions);
        shape(self) == shape(other)
    }

    /// Flags of the wave function and the Hamiltonian on the command line of `ketformer`.
    fn flags(&self) -> String {
        let [lx, ly] = self.sides;
        let Self { width, heads, layers, .. } = self;
        let position = if self.has_positions { "" } else { " position=none" };
        let model = match self.family {
            Family::Ptf => {
                let feed_forward = Self::FEED_FORWARD * width;
                format!("--ptf patch=1x1 Nh={width} nhead={heads} num_layers={layers} ffn={feed_forward}{position}")
            }
            Family::Rnn => format!("--rnn patch=1x1 Nh={width}"),
            Family::Rbm => "--rbm".into(),
        };
        let hamiltonian = match self.couplings {
            Couplings::Rydberg { delta, omega, .. } => {
                format!("--rydberg Lx={lx} Ly={ly} V={} delta={delta} Omega={omega}", self.couplings.neighbor_energy())
            }
            Couplings::Tfim { j, h } => format!("--tfim Lx={lx} Ly={ly} J={j} h={h}"),
        };
        format!("{model} {hamiltonian}")
    }

    /// Command that trains with the same settings, to the same energies on the same adapter.
    pub fn train_command(&self, steps: u64) -> String {
        let Self { samples, learning_rate, seed, .. } = self;
        format!("ketformer train K={samples} lr={learning_rate} steps={steps} seed={seed} {}", self.flags())
    }

    /// Command that evaluates the weights of the file `name`.
    pub fn eval_command(&self, name: &str) -> String {
        format!("ketformer eval --weights {name} {}", self.flags())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_all_digits_of_the_couplings() {
        let couplings = Couplings::Rydberg { delta: 0.1 + 0.2, radius: 1.2, omega: 1.0 };
        let settings = Settings { couplings, ..Settings::default() };
        let command = settings.train_command(20);
        assert!(command.contains("delta=0.30000000000000004"), "{command}");
        let v: f64 = command.split("V=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(v, couplings.neighbor_energy());
    }

    #[test]
    fn settings_of_links_are_checked() {
        let settings = Settings::parse(r#"{"sides": [2, 2], "couplings": {"Tfim": {"j": 1, "h": 2}}}"#).unwrap();
        assert_eq!((settings.sides, settings.width), ([2, 2], Settings::default().width));
        for (text, word) in
            [("{", "EOF"), (r#"{"side": 4}"#, "side"), (r#"{"heads": 3}"#, "heads"), (r#"{"samples": 1}"#, "samples")]
        {
            let message = Settings::parse(text).unwrap_err();
            assert!(message.contains(word), "{text}: {message}");
        }
    }

    #[test]
    fn couplings_and_samples_keep_weights_and_sizes_do_not() {
        let settings = Settings::default();
        assert!(settings.shares_weights(&Settings { couplings: Couplings::TFIM, samples: 64, ..settings.clone() }));
        assert!(!settings.shares_weights(&Settings { heads: 1, ..settings.clone() }));
    }
}
