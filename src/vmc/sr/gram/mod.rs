//! Gram matrix X Xᵀ (neural tangent kernel) of fixed samples without storing the Jacobian X; natural-gradient steps.
//!
//! `products` has the passes on the device and their partition into the available memory. The linear system is solved
//! on the host. Formulas: [`crate::kernels::gram`].

mod layer_plan;
mod layers;
mod products;
mod recorder;
mod solve;

pub(crate) use products::{CHUNK, GramSamples, LayerList, ProductBuffers, ProductWords, Products};
pub(crate) use solve::right_side;
pub use solve::{GramMatrix, Solution};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Plan, View};
use crate::model::{Capacity, Parameters, Precision, Weights};
use crate::vmc::state::State;
use crate::vmc::step::budget::halved_until;
use crate::vmc::step::fixed_tokens::FixedTokens;
use crate::vmc::step::kind::gradient_pass;
use crate::vmc::step::sector::check_some_configurations;

/// Products of the gradients of log ψ at fixed configurations of equal weight.
pub struct GramProbe {
    gpu: Gpu,
    parameters: Parameters,
    products: Products,
    additions: [usize; 2],
    configurations: usize,
    complex: bool,
}

impl GramProbe {
    /// Records the passes for `configurations`, each of N occupations in site order, within about the memory of `state`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if `configurations` is empty, or if one of them has another length or is outside of the
    /// sector of the wave function; [`ErrorKind::Memory`] if they do not fit; as [`crate::model::Model::network`].
    pub fn new(state: &State<'_>, configurations: &[Vec<u8>]) -> Result<Self> {
        let State { gpu, lattice, model, .. } = *state;
        model.check(lattice)?;
        let patching = model.patching(lattice)?;
        check_some_configurations(model, lattice, configurations)?;
        let samples = configurations.len() as u32;
        let parameters = state.parameters(Precision::Single)?;
        let layer_list = LayerList::new(gpu, lattice, model, &parameters, (samples, false))?;
        let memory = state.memory();
        let count = |chunk: u32| {
            gpu.dry_run(|gpu| {
                let network = model.network(gpu, lattice, &parameters, Capacity::of_gradient(chunk))?;
                gradient_pass(gpu, model, &network, &patching, chunk)?;
                ProductBuffers::new(gpu, &layer_list, chunk, 0)
            })
        };
        // A quarter of the memory for the chunk's activations and gradients, the rest for panels.
        let chunk = halved_until(samples, CHUNK, |chunk| {
            let taken = count(chunk)?;
            Ok(taken.bytes <= memory / 4 && taken.excess == 0)
        })?;
        let taken = count(chunk)?;
        let [least, most] = layer_list.panels();
        let taken = taken.bytes / 4 + layer_list.tables(least) + 2 * parameters.layout().elements();
        let panels = (memory / 4).saturating_sub(taken).clamp(least, most);

        let capacity = Capacity::of_gradient(chunk);
        let network = model.network(gpu, lattice, &parameters, capacity)?;
        let complex = model.is_complex();
        let pass = gradient_pass(gpu, model, &network, &patching, chunk)?;
        let given = FixedTokens::new(gpu, &patching, configurations)?;
        let counter = gpu.upload("ketformer.gram.samples", &[samples])?;
        let of_device = GramSamples {
            gpu,
            pass: &*pass,
            counters: &counter,
            live: counter.view(),
            tokens: given.tokens.view(),
            sample_of: given.sample_of.view(),
            samples,
            patches: patching.patches() as u32,
            chunk,
        };
        let buffers = ProductBuffers::new(gpu, &layer_list, chunk, panels)?;
        let products = Products::new(&layer_list, &of_device, buffers, None)?;
        let (gpu, additions) = (gpu.clone(), layer_list.additions());
        Ok(Self { gpu, parameters, products, additions, configurations: samples as usize, complex })
    }

    /// Square roots of equal weights.
    fn root(&self) -> Vec<f64> {
        vec![(self.configurations as f64).sqrt().recip(); self.configurations]
    }

    fn write(&self, writes: &[(View, Vec<u32>)]) -> Result<()> {
        writes.iter().try_for_each(|(view, words)| view.write(&self.gpu, words))
    }

    /// Computes X Xᵀ: rows of real parts, then rows of imaginary parts if the wave function is complex.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost.
    pub fn gram(&self) -> Result<GramMatrix> {
        let root = self.root();
        self.write(&self.products.writes(&root)?)?;
        self.products.passes().iter().try_for_each(Plan::run)?;
        self.products.words(self.gpu.read_ranges(self.products.to_read(root.len()))?).gram(&root)
    }

    /// Returns the direction Xᵀ (X Xᵀ + λ)⁻¹ f of a step by parameter name, and the solution of the linear system.
    ///
    /// f is −2 (E_loc − E)/√B for the B local energies, given as real and imaginary parts.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the number of energies is not that of the configurations or a number is not finite;
    /// as [`GramProbe::gram`].
    pub fn direction(&self, local_energies: &[[f64; 2]], lambda: f64) -> Result<(Weights, Solution)> {
        let error = |message: String| Error::new(ErrorKind::Settings, message);
        if local_energies.len() != self.configurations {
            let (given, wanted) = (local_energies.len(), self.configurations);
            return Err(error(format!("{given} local energies for {wanted} configurations; give one each")));
        }
        let root = self.root();
        let mut right = Vec::new();
        for part in 0..1 + usize::from(self.complex) {
            let energies: Vec<f64> = local_energies.iter().map(|energy| energy[part]).collect();
            right.extend(right_side(&energies, &root));
        }
        let solution = self.gram()?.solve(&right, lambda).ok_or_else(|| {
            error("a gradient or a local energy is not finite, so the step has no direction; give other weights".into())
        })?;
        self.write(&self.products.combination(&solution.values, &root)?)?;
        self.products.combined().run()?;
        Ok((self.parameters.read_gradient(&self.gpu)?, solution))
    }

    /// Number of additions to X Xᵀ from pairs of rows of a layer, and from columns of the Jacobian.
    pub fn additions(&self) -> [usize; 2] {
        self.additions
    }
}
