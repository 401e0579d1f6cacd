//! Layer plan of the Gram matrix: how the products of each layer are computed, and partition of the layers into passes.
//!
//! The additions to the Gram matrix and their order depend on the layers, the samples and the adapter's binding limit.
//! Only the number of passes depends on the memory.

use super::layers::Layer;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::gram::BAND;

/// Number of rows of the Jacobian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SampleExtent {
    /// Rows per part: the number of samples, rounded up to a multiple of [`BAND`].
    pub part_rows: u32,
    /// 1, or 2 if the wave function is complex.
    pub parts: u32,
}

impl SampleExtent {
    pub(super) fn new(samples: u32, complex: bool) -> Self {
        Self { part_rows: samples.next_multiple_of(BAND), parts: 1 + u32::from(complex) }
    }

    pub(super) fn rows(&self) -> u32 {
        self.parts * self.part_rows
    }
}

/// Unit of the layer plan: one addition to the Gram matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerUnit {
    /// Index of the layer.
    pub layer: usize,
    pub source: GradientSource,
}

/// Source of the products of a layer's gradients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GradientSource {
    /// Columns of the Jacobian. For a linear layer, optionally those of the outputs `outputs[0]..outputs[1]` only.
    Panel { outputs: Option<[u32; 2]> },
    /// Inputs of a linear layer and gradients of its outputs.
    Pairs,
}

/// Maximum number of columns of a panel of a layer that can be split.
const COLUMNS: u64 = 1 << 14;
/// Maximum number of floats of such a panel, 64 MiB. Panels of many samples have fewer columns.
const PANEL: u64 = 1 << 24;

/// Number of multiply-adds per pair of samples from columns of the Jacobian, and from pairs of rows.
fn products(layer: &Layer) -> [u64; 2] {
    let columns = u64::from(layer.columns());
    let pairs = layer.linear.map_or(u64::MAX, |[inputs, outputs]| {
        let tokens = u64::from(layer.tokens);
        tokens * tokens * (u64::from(inputs) + u64::from(outputs) + 1)
    });
    [columns, pairs]
}

/// Floats of the buffers of a unit for all samples: its panel, or its gradients and inputs.
pub(crate) fn floats(unit: &LayerUnit, layers: &[Layer], extent: SampleExtent) -> Vec<u64> {
    let layer = &layers[unit.layer];
    let [part_rows, rows] = [extent.part_rows, extent.rows()].map(u64::from);
    match (&unit.source, layer.linear) {
        (GradientSource::Pairs, Some([inputs, outputs])) => {
            let tokens = u64::from(layer.tokens);
            vec![rows * tokens * u64::from(outputs), part_rows * tokens * u64::from(inputs)]
        }
        (GradientSource::Panel { outputs: Some([first, end]) }, Some([inputs, _])) => {
            vec![rows * u64::from(end - first) * (u64::from(inputs) + 1)]
        }
        _ => vec![rows * u64::from(layer.width())],
    }
}

/// Returns the units of all layers in the order of the backward pass, with buffers of at most `binding` bytes.
///
/// # Errors
/// [`ErrorKind::Memory`] if a layer cannot be split finely enough.
pub(crate) fn units(layers: &[Layer], extent: SampleExtent, binding: u64) -> Result<Vec<LayerUnit>> {
    let most = binding / 4;
    let mut units = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let unit = |source| LayerUnit { layer: number, source };
        let fits = |unit: &LayerUnit| floats(unit, layers, extent).iter().all(|floats| *floats <= most);
        let [by_columns, by_pairs] = products(layer);
        let pairs = unit(GradientSource::Pairs);
        if by_pairs < by_columns && fits(&pairs) {
            units.push(pairs);
            continue;
        }
        let columns = COLUMNS.min(PANEL.min(most) / u64::from(extent.rows())).max(1);
        match layer.linear {
            Some([inputs, outputs]) if u64::from(layer.width()) > columns => {
                let each = (columns / (u64::from(inputs) + 1)).max(1) as u32;
                let each = if each > 4 { each / 4 * 4 } else { each };
                let cuts = (0..outputs).step_by(each as usize);
                let cut = |first| unit(GradientSource::Panel { outputs: Some([first, (first + each).min(outputs)]) });
                units.extend(cuts.map(cut));
            }
            _ => units.push(unit(GradientSource::Panel { outputs: None })),
        }
        if let Some(unit) = units.iter().rev().take_while(|unit| unit.layer == number).find(|unit| !fits(unit)) {
            let needed = floats(unit, layers, extent).into_iter().max().unwrap_or(0).saturating_mul(4) >> 20;
            let message = format!(
                "the gradients of {} samples by a layer of {} parameters take {needed} MiB in one binding, the \
                 adapter's limit is {} MiB; use fewer samples or a smaller model",
                extent.part_rows,
                layer.columns(),
                binding >> 20
            );
            return Err(Error::new(ErrorKind::Memory, message));
        }
    }
    Ok(units)
}

/// Unit of a pass with its buffers as (arena, first float).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub unit: LayerUnit,
    pub at: Vec<(usize, u64)>,
}

/// Alignment of views, in floats.
const ALIGNMENT: u64 = 64;

/// Floats of the buffers of a unit, each rounded up to [`ALIGNMENT`].
pub(crate) fn aligned_floats(unit: &LayerUnit, layers: &[Layer], extent: SampleExtent) -> u64 {
    floats(unit, layers, extent).into_iter().map(|floats| floats.next_multiple_of(ALIGNMENT)).sum()
}

/// Returns the sizes in floats of buffers of at most `binding` bytes that hold `floats` floats in total.
pub(crate) fn arenas(floats: u64, binding: u64) -> Vec<u64> {
    let most = binding / 4 / ALIGNMENT * ALIGNMENT;
    let whole = (0..floats / most).map(|_| most);
    whole.chain((!floats.is_multiple_of(most)).then_some(floats % most)).collect()
}

/// Partitions the units, in their order, into passes that each fit into `arenas`.
///
/// # Errors
/// [`ErrorKind::Memory`] if a single unit does not fit.
pub(crate) fn passes(
    units: &[LayerUnit],
    layers: &[Layer],
    extent: SampleExtent,
    arenas: &[u64],
) -> Result<Vec<Vec<Placed>>> {
    let mut passes: Vec<Vec<Placed>> = Vec::new();
    let mut used = vec![u64::MAX; arenas.len()];
    for unit in units {
        let needed = floats(unit, layers, extent);
        let at = match place(&needed, arenas, &mut used) {
            Some(at) => at,
            None => {
                used.fill(0);
                passes.push(Vec::new());
                place(&needed, arenas, &mut used).ok_or_else(|| {
                    let message = "a layer's gradients do not fit next to the rest of the step; give a larger memory budget, \
                                   or use fewer samples";
                    Error::new(ErrorKind::Memory, message)
                })?
            }
        };
        if let Some(pass) = passes.last_mut() {
            pass.push(Placed { unit: unit.clone(), at });
        }
    }
    Ok(passes)
}

/// Allocates buffers of `needed` floats, each in the first arena with enough free space. Returns `None` and leaves
/// `used` unchanged if one of them does not fit.
fn place(needed: &[u64], arenas: &[u64], used: &mut Vec<u64>) -> Option<Vec<(usize, u64)>> {
    let mut after = used.clone();
    let place_one = |floats: &u64| {
        let fits = |arena: &usize| after[*arena].checked_add(*floats).is_some_and(|end| end <= arenas[*arena]);
        let arena = (0..arenas.len()).find(fits)?;
        let first = after[arena];
        after[arena] = (first + floats).next_multiple_of(ALIGNMENT);
        Some((arena, first))
    };
    let at: Option<Vec<_>> = needed.iter().map(place_one).collect();
    if at.is_some() {
        *used = after;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEBIBYTE: u64 = 1 << 20;

    fn linear(tokens: u32, inputs: u32, outputs: u32) -> Layer {
        Layer {
            tokens,
            linear: Some([inputs, outputs]),
            elements: [inputs * outputs, outputs],
            first: [Some(0), Some(u64::from(inputs * outputs))],
        }
    }

    fn norm(width: u32) -> Layer {
        Layer { tokens: 4, linear: None, elements: [width; 2], first: [Some(0), Some(128)] }
    }

    fn extent(samples: u32) -> SampleExtent {
        SampleExtent::new(samples, false)
    }

    #[test]
    fn what_takes_fewer_products_is_taken() {
        // Pairs for few long rows per sample, columns for many short rows and for layers that are not linear.
        let layers = [linear(1, 64, 64), linear(16, 72, 72), linear(4, 32, 2048), norm(32), linear(1, 1, 1)];
        let units = units(&layers, extent(1000), 128 * MEBIBYTE).unwrap();
        let pairs: Vec<bool> = units.iter().map(|unit| unit.source == GradientSource::Pairs).collect();
        assert_eq!(pairs, [true, false, true, false, false]);
    }

    #[test]
    fn wide_layers_are_cut_by_outputs_and_every_output_is_there_once() {
        let layers = [linear(100, 288, 288)];
        for (samples, binding) in [(100, 128), (2000, 128), (8000, 128), (2000, 8)] {
            let extent = SampleExtent::new(samples, true);
            let units = units(&layers, extent, binding * MEBIBYTE).unwrap();
            let mut next = 0;
            for unit in &units {
                let GradientSource::Panel { outputs: Some([first, end]) } = unit.source else { panic!("{unit:?}") };
                assert!(first == next && end > first, "{unit:?}");
                next = end;
                assert!(floats(unit, &layers, extent).iter().all(|floats| 4 * floats <= binding * MEBIBYTE));
            }
            assert_eq!(next, 288);
        }
        let error = units(&[norm(1 << 15)], extent(4000), 128 * MEBIBYTE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
        assert!(error.to_string().contains("fewer samples"), "{error}");
    }

    /// Units keep their order. Less memory gives more passes with the same units.
    #[test]
    fn passes_hold_what_fits() {
        let block = || [linear(16, 72, 288), norm(72), linear(16, 72, 72), linear(1, 96, 96), norm(72)];
        let layers: Vec<Layer> = (0..3).flat_map(|_| block()).collect();
        let extent = extent(500);
        let units = units(&layers, extent, 128 * MEBIBYTE).unwrap();
        let least = units.iter().map(|unit| aligned_floats(unit, &layers, extent)).max().unwrap();
        let all: u64 = units.iter().map(|unit| aligned_floats(unit, &layers, extent)).sum();
        let mut counts = Vec::new();
        for room in [least, 2 * least, all] {
            let passes = passes(&units, &layers, extent, &arenas(room, 1 << 40)).unwrap();
            counts.push(passes.len());
            let in_order: Vec<LayerUnit> = passes.iter().flatten().map(|placed| placed.unit.clone()).collect();
            assert_eq!(in_order, units);
            for pass in &passes {
                let mut taken: Vec<(usize, u64, u64)> = Vec::new();
                for placed in pass {
                    for ((arena, first), floats) in placed.at.iter().zip(floats(&placed.unit, &layers, extent)) {
                        assert!(first.is_multiple_of(ALIGNMENT) && first + floats <= room);
                        let apart = |(a, f, e): &(usize, u64, u64)| a != arena || first + floats <= *f || first >= e;
                        assert!(taken.iter().all(apart), "{pass:?}");
                        taken.push((*arena, *first, first + floats));
                    }
                }
            }
        }
        assert!(counts[0] > counts[1] && counts[1] > counts[2] && counts[2] == 1, "{counts:?}");
        assert!(passes(&units, &layers, extent, &arenas(least / 2, 1 << 40)).is_err());
    }

    #[test]
    fn arenas_are_no_larger_than_a_binding() {
        assert_eq!(arenas(1000, 1024), [256, 256, 256, 232]);
        assert_eq!(arenas(512, 1024), [256, 256]);
    }
}
