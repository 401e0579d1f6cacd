//! Wave functions over the configurations of half of the sites occupied ([`Model::keeps_excitations`]): what they can be asked.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::head::HeadShape;
use crate::model::Model;
use crate::physics::Patching;

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

/// That `configurations` are some of those that `model` is over.
///
/// # Errors
/// [`ErrorKind::Settings`], naming the occupied sites of the first that is not.
pub(super) fn check_configurations(model: &dyn Model, configurations: &[Vec<u8>]) -> Result<()> {
    let occupied = |configuration: &[u8]| configuration.iter().map(|n| u32::from(*n)).sum::<u32>();
    for configuration in configurations {
        let (found, sites) = (occupied(configuration), configuration.len());
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
