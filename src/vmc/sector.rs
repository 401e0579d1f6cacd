//! Wave functions over the configurations of half of the sites occupied ([`Model::keeps_excitations`]): what they can be asked.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::head::HeadShape;
use crate::model::Model;
use crate::physics::{Lattice, Patching};

/// The occupied sites of all configurations of `sites` sites that `model` is over, where it is not over all.
pub(super) fn excitations(model: &dyn Model, sites: usize) -> Option<u32> {
    model.keeps_excitations().then_some(sites as u32 / 2)
}

/// The outcomes of the patches of `model`.
pub(super) fn head_shape(model: &dyn Model, patching: &Patching) -> HeadShape {
    HeadShape {
        outcomes: patching.outcomes() as u32,
        patches: patching.patches() as u32,
        excitations: excitations(model, patching.sites()),
    }
}

/// That `configurations` are some of those of `lattice` that `model` is over.
///
/// # Errors
/// [`ErrorKind::Settings`], naming the numbers or the occupied sites of the first that is not.
pub(super) fn check_configurations(model: &dyn Model, lattice: &Lattice, configurations: &[Vec<u8>]) -> Result<()> {
    let sites = lattice.sites();
    if let Some(wrong) = configurations.iter().find(|c| c.len() != sites || c.iter().any(|n| *n > 1)) {
        let message = format!("a configuration of {} numbers; give {sites} occupations, each 0 or 1", wrong.len());
        return Err(Error::new(ErrorKind::Settings, message));
    }
    let occupied = |configuration: &[u8]| configuration.iter().map(|n| u32::from(*n)).sum::<u32>();
    for configuration in configurations {
        let found = occupied(configuration);
        if let Some(wanted) = excitations(model, sites).filter(|wanted| *wanted != found) {
            let message = format!(
                "{}: a configuration of {found} occupied sites; give such as have {wanted} of the {sites} occupied",
                model.name()
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
    }
    Ok(())
}

/// The same of configurations of which there must be one or more.
///
/// # Errors
/// [`ErrorKind::Settings`] where there is none; as [`check_configurations`].
pub(super) fn check_some_configurations(
    model: &dyn Model,
    lattice: &Lattice,
    configurations: &[Vec<u8>],
) -> Result<()> {
    if configurations.is_empty() {
        return Err(Error::new(ErrorKind::Settings, "no configurations; give one or more"));
    }
    check_configurations(model, lattice, configurations)
}
