//! Sector of a wave function: all configurations, or those with half of the sites occupied
//! ([`Model::conserves_magnetization`]); checks of configurations.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::nn::categorical::CategoricalShape;
use crate::model::Model;
use crate::physics::{Lattice, Patching};

/// Number of occupied sites in the sector of `model` on `sites` sites; `None` if its sector is all configurations.
pub(crate) fn excitations(model: &dyn Model, sites: usize) -> Option<u32> {
    model.conserves_magnetization().then_some(sites as u32 / 2)
}

/// Configurations that `model` has on `lattice`, as indices of states: bit i is the occupation of site i.
///
/// # Errors
/// As [`Model::exclusions`].
pub(crate) fn is_in_sector(model: &dyn Model, lattice: &Lattice) -> Result<impl Fn(usize) -> bool + use<>> {
    let excitations = excitations(model, lattice.sites());
    let exclusions: Vec<usize> = model.exclusions(lattice)?.iter().map(|[a, b]| 1 << a | 1 << b).collect();
    Ok(move |state: usize| {
        excitations.is_none_or(|wanted| state.count_ones() == wanted)
            && exclusions.iter().all(|pair| state & pair != *pair)
    })
}

/// Occupations of the state with index `state`, in site order.
pub(crate) fn occupations(state: usize, sites: usize) -> Vec<u8> {
    (0..sites).map(|site| (state >> site & 1) as u8).collect()
}

/// Shape of the categorical head of `model`.
pub(crate) fn head_shape(model: &dyn Model, patching: &Patching) -> CategoricalShape {
    CategoricalShape {
        outcomes: patching.outcomes() as u32,
        patches: patching.patches() as u32,
        excitations: excitations(model, patching.sites()),
    }
}

/// Checks that `configurations` are occupations of `lattice` in the sector of `model`.
///
/// # Errors
/// [`ErrorKind::Settings`], with the length or the number of occupied sites of the first invalid configuration.
pub(crate) fn check_configurations(model: &dyn Model, lattice: &Lattice, configurations: &[Vec<u8>]) -> Result<()> {
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
                "{}: a configuration of {found} occupied sites; give configurations with {wanted} of {sites} occupied",
                model.name()
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
    }
    let exclusions = model.exclusions(lattice)?;
    let conflict = |c: &Vec<u8>| exclusions.iter().find(|pair| pair.iter().all(|&site| c[site] != 0)).copied();
    if let Some([a, b]) = configurations.iter().find_map(conflict) {
        let message = format!(
            "{}: a configuration occupies the sites {a} and {b}, which the blockade excludes; give configurations of the \
             blockade",
            model.name()
        );
        return Err(Error::new(ErrorKind::Settings, message));
    }
    Ok(())
}

/// As [`check_configurations`], and checks that there is at least one configuration.
///
/// # Errors
/// [`ErrorKind::Settings`] if `configurations` is empty; as [`check_configurations`].
pub(crate) fn check_some_configurations(
    model: &dyn Model,
    lattice: &Lattice,
    configurations: &[Vec<u8>],
) -> Result<()> {
    if configurations.is_empty() {
        return Err(Error::new(ErrorKind::Settings, "no configurations; give one or more"));
    }
    check_configurations(model, lattice, configurations)
}
