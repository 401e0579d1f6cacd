//! Tables of the pairs of sites that are not occupied together, in patch order, and their launches.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::vmc::exclusions::{ExcludedRows, ExclusionShape, OutcomesExclude};
use crate::model::Model;
use crate::physics::Patching;

/// Exclusions on the device.
pub(crate) struct Exclusions {
    /// (T·P + 1) u32
    starts: Buffer,
    /// (pairs) of two u32
    pairs: Buffer,
    shape: ExclusionShape,
}

/// Views of the configurations whose outcomes are excluded. A table is `None` if the rows do not need it.
pub(crate) struct ConfigurationViews {
    pub tokens: View,
    pub sample_of: Option<View>,
    pub table: Option<View>,
    pub moves: Option<View>,
    /// (rows, V)
    pub logits: View,
}

impl Exclusions {
    /// Uploads the exclusions of `model`; `None` if it has none.
    ///
    /// # Errors
    /// As [`Model::exclusions`] and [`Gpu::upload`].
    pub(crate) fn new(gpu: &Gpu, model: &dyn Model, patching: &Patching) -> Result<Option<Self>> {
        let excluded = model.exclusions(&patching.lattice())?;
        if excluded.is_empty() {
            return Ok(None);
        }
        let (starts, pairs) = tables(&excluded, patching);
        let shape = ExclusionShape {
            patches: patching.patches() as u32,
            sites_per_patch: patching.sites_per_patch() as u32,
            outcomes: patching.outcomes() as u32,
            pairs: pairs.len() as u32,
        };
        let (starts, pairs) =
            (gpu.upload("ketformer.exclusions.starts", &starts)?, gpu.upload("ketformer.exclusions.pairs", &pairs)?);
        Ok(Some(Self { starts, pairs, shape }))
    }

    /// Records the exclusion of outcomes from the logits of `rows`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub(crate) fn record(&self, plan: &mut Plan, views: ConfigurationViews, rows: &ExcludedRows) -> Result<()> {
        let ConfigurationViews { tokens, sample_of, table, moves, logits } = views;
        // A binding needs a view, also of a table that is not read.
        let bound = |view: Option<View>| view.unwrap_or_else(|| self.pairs.view());
        let exclude = OutcomesExclude {
            tokens,
            sample_of: bound(sample_of),
            table: bound(table),
            moves: bound(moves),
            starts: self.starts.view(),
            pairs: self.pairs.view(),
            logits,
        };
        exclude.record(plan, rows, &self.shape)
    }
}

/// First pair of each site in patch order, and the pairs: patch and mask of the sites in it, of the same and of earlier
/// patches.
fn tables(excluded: &[[usize; 2]], patching: &Patching) -> (Vec<u32>, Vec<[u32; 2]>) {
    let p = patching.sites_per_patch();
    let mut by_site: Vec<Vec<[u32; 2]>> = vec![Vec::new(); patching.sites()];
    for sites in excluded {
        let [one, other] = sites.map(|site| patching.patch_of()[site]);
        for ([t, j], [to, bit]) in [([one.0, one.1], [other.0, other.1]), ([other.0, other.1], [one.0, one.1])] {
            if to <= t {
                let pairs = &mut by_site[t as usize * p + j as usize];
                match pairs.iter_mut().find(|[patch, _]| *patch == to) {
                    Some([_, mask]) => *mask |= 1 << bit,
                    None => pairs.push([to, 1 << bit]),
                }
            }
        }
    }
    let mut starts = vec![0];
    by_site.iter().for_each(|pairs| starts.push(starts[starts.len() - 1] + pairs.len() as u32));
    // Four words at least, for views that are not read.
    let mut pairs = by_site.concat();
    pairs.resize(pairs.len().max(2), [0, 0]);
    (starts, pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Lattice, Patch, excluded_pairs};

    #[test]
    fn every_pair_is_with_the_later_site_or_with_both_of_a_patch() {
        let patching = Patching::new(Lattice::chain(6), Patch::Line(3)).unwrap();
        let (starts, pairs) = tables(&excluded_pairs(&Lattice::chain(6), 1.0).unwrap(), &patching);
        assert_eq!(starts, [0, 1, 2, 3, 5, 6, 7]);
        assert_eq!(pairs, [[0, 2], [0, 5], [0, 2], [0, 4], [1, 2], [1, 5], [1, 2]]);
    }
}
