//! The geometry of a wave function around given samples, and steps in it: X Xᵀ without X.
//!
//! What is done on a device, and how it is cut to fit into memory, is the business of `products`; the small problem is
//! solved on the host. Formulas: [`crate::kernels::geometry`].

mod division;
mod layers;
mod products;
mod recorder;
mod solve;

pub(super) use products::{CHUNK, Outline, Products, Samples};
pub(super) use solve::right_side;
pub use solve::{GramMatrix, Solution};

use super::given_tokens::GivenTokens;
use super::gradient::gradient_pass;
use super::sector::check_some_configurations;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::{Capacity, Model, Parameters, Precision, Weights};
use crate::physics::Lattice;

/// Products of the gradients of log ψ of given configurations, equally weighted.
pub struct Geometry {
    gpu: Gpu,
    parameters: Parameters,
    products: Products,
    forms: [usize; 2],
    configurations: usize,
    complex: bool,
}

impl Geometry {
    /// Records the passes for `configurations`, each of N occupations in site order, within about `memory` bytes; `None`:
    /// [`Gpu::default_memory`].
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] where there is no configuration, one of another length, or one that the wave function is not
    /// over, [`ErrorKind::Memory`] where they do not fit; as [`Model::network`].
    pub fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        model: &dyn Model,
        weights: &Weights,
        configurations: &[Vec<u8>],
        memory: Option<u64>,
    ) -> Result<Self> {
        model.check(lattice)?;
        let patching = model.patching(lattice)?;
        check_some_configurations(model, lattice, configurations)?;
        let samples = configurations.len() as u32;
        let parameters = Parameters::new(gpu, model.layout(lattice)?, Precision::Single)?;
        parameters.write(gpu, weights)?;
        let outline = Outline::new(gpu, lattice, model, &parameters, (samples, false))?;
        let floats = memory.unwrap_or(gpu.default_memory()) / 4;
        let needs = model.needs(gpu, lattice, Precision::Single)?.training_sample[0] + outline.per_sample();
        // A quarter for activations, what is left for panels.
        let chunk = match (floats / 4 / needs.max(1)).min(samples.into()) as u32 {
            chunk if chunk < samples => (chunk / CHUNK * CHUNK).max(CHUNK).min(samples),
            chunk => chunk,
        };
        let [least, most] = outline.panels();
        let tables = outline.tables(least);
        let taken = outline.fixed() + tables + u64::from(chunk) * needs + 2 * parameters.layout().elements();
        let panels = floats.saturating_sub(taken).clamp(least, most);

        let capacity = Capacity::of_gradient(chunk);
        let network = model.network(gpu, lattice, &parameters, capacity)?;
        let complex = model.is_complex();
        let pass = gradient_pass(gpu, model, &network, &patching, chunk)?;
        let given = GivenTokens::new(gpu, &patching, configurations)?;
        let counter = gpu.upload("ketformer.geometry.samples", &[samples])?;
        let of_device = Samples {
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
        let products = Products::new(&outline, &of_device, panels, None)?;
        let (gpu, forms) = (gpu.clone(), outline.forms());
        Ok(Self { gpu, parameters, products, forms, configurations: samples as usize, complex })
    }

    /// Roots of equal weights.
    fn root(&self) -> Vec<f64> {
        vec![(self.configurations as f64).sqrt().recip(); self.configurations]
    }

    /// X Xᵀ: rows of real parts, then of imaginary ones where the wave function is complex.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost.
    pub fn gram(&self) -> Result<GramMatrix> {
        let root = self.root();
        self.products.run(&root)?;
        self.products.gram(&root)
    }

    /// The direction Xᵀ (X Xᵀ + λ)⁻¹ f of a step, under the parameters' names, with the solution of the small problem; f
    /// is −2 (E_loc − E)/√M of the local energies given, as real and imaginary parts.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for another number of energies, or numbers that are not finite; as [`Geometry::gram`].
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
            error("gradients or local energies that are not finite have no direction; give other weights".into())
        })?;
        self.products.weigh_combination(&solution.values, &root)?;
        self.products.combined().run()?;
        Ok((self.parameters.read_gradient(&self.gpu)?, solution))
    }

    /// How many additions to X Xᵀ are of pairs of rows of a layer, and how many of columns of the Jacobian.
    pub fn forms(&self) -> [usize; 2] {
        self.forms
    }
}
