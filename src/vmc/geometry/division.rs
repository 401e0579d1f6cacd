//! In which way each layer's products come about, and which layers go through a pass together.
//!
//! What is added to the Gram matrix, and in which order, depends on the layers, the samples and the adapter's limit on a
//! binding; how many passes that takes depends on the memory.

use super::layers::Layer;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::geometry::BAND;

/// How much there is of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Rows for samples.
    pub part_rows: u32,
    /// 1, or 2 where the wave function is complex.
    pub parts: u32,
}

impl Extent {
    pub fn new(samples: u32, complex: bool) -> Self {
        Self { part_rows: samples.next_multiple_of(BAND), parts: 1 + u32::from(complex) }
    }

    pub fn rows(&self) -> u32 {
        self.parts * self.part_rows
    }
}

/// What is added to the Gram matrix at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Number of the layer.
    pub layer: usize,
    pub form: Form,
}

/// The ways to the products of a layer's gradients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// From columns of the Jacobian: of a linear layer those of the outputs from the first to before the second.
    Panel { outputs: Option<[u32; 2]> },
    /// From what a linear layer read and the gradients of what it made.
    Pairs,
}

/// Columns of a panel at most, where a layer can be cut into several.
const COLUMNS: u64 = 1 << 14;
/// Floats of such a panel at most, 64 MiB: panels of many samples are narrower.
const PANEL: u64 = 1 << 24;

/// Multiply-adds of a pair of samples: by columns of the Jacobian, by pairs of rows.
fn products(layer: &Layer) -> [u64; 2] {
    let columns = u64::from(layer.columns());
    let pairs = layer.linear.map_or(u64::MAX, |[inputs, outputs]| {
        let tokens = u64::from(layer.tokens);
        tokens * tokens * (u64::from(inputs) + u64::from(outputs) + 1)
    });
    [columns, pairs]
}

/// Floats that a unit needs for all samples: its panel, or gradients and inputs.
pub(super) fn floats(unit: &Unit, layers: &[Layer], extent: Extent) -> Vec<u64> {
    let layer = &layers[unit.layer];
    let [part_rows, rows] = [extent.part_rows, extent.rows()].map(u64::from);
    match (&unit.form, layer.linear) {
        (Form::Pairs, Some([inputs, outputs])) => {
            let tokens = u64::from(layer.tokens);
            vec![rows * tokens * u64::from(outputs), part_rows * tokens * u64::from(inputs)]
        }
        (Form::Panel { outputs: Some([first, end]) }, Some([inputs, _])) => {
            vec![rows * u64::from(end - first) * (u64::from(inputs) + 1)]
        }
        _ => vec![rows * u64::from(layer.width())],
    }
}

/// The units of all layers in the order of the backward pass, of which none needs a buffer of more than `binding` bytes.
///
/// # Errors
/// [`ErrorKind::Memory`] where a layer cannot be cut finely enough.
pub(super) fn units(layers: &[Layer], extent: Extent, binding: u64) -> Result<Vec<Unit>> {
    let most = binding / 4;
    let mut units = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let unit = |form| Unit { layer: number, form };
        let fits = |unit: &Unit| floats(unit, layers, extent).iter().all(|floats| *floats <= most);
        let [by_columns, by_pairs] = products(layer);
        let pairs = unit(Form::Pairs);
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
                let cut = |first| unit(Form::Panel { outputs: Some([first, (first + each).min(outputs)]) });
                units.extend(cuts.map(cut));
            }
            _ => units.push(unit(Form::Panel { outputs: None })),
        }
        if let Some(unit) = units.iter().rev().take_while(|unit| unit.layer == number).find(|unit| !fits(unit)) {
            let needed = floats(unit, layers, extent).into_iter().max().unwrap_or(0).saturating_mul(4) >> 20;
            let message = format!(
                "the gradients of {} samples by a layer of {} parameters take {needed} MiB in one binding, the adapter's \
                 limit is {} MiB; use fewer samples or a smaller model",
                extent.part_rows,
                layer.columns(),
                binding >> 20
            );
            return Err(Error::new(ErrorKind::Memory, message));
        }
    }
    Ok(units)
}

/// A unit of a pass, with its buffers as (arena, first float).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub unit: Unit,
    pub at: Vec<(usize, u64)>,
}

/// Floats that views begin at multiples of.
const ALIGNMENT: u64 = 64;

/// Floats of a unit's buffers, each beginning where a view may.
pub(super) fn aligned_floats(unit: &Unit, layers: &[Layer], extent: Extent) -> u64 {
    floats(unit, layers, extent).into_iter().map(|floats| floats.next_multiple_of(ALIGNMENT)).sum()
}

/// Sizes of the buffers that `floats` floats are, none of them of more than `binding` bytes.
pub(super) fn arenas(floats: u64, binding: u64) -> Vec<u64> {
    let most = binding / 4 / ALIGNMENT * ALIGNMENT;
    let whole = (0..floats / most).map(|_| most);
    whole.chain((!floats.is_multiple_of(most)).then_some(floats % most)).collect()
}

/// The units, in their order, as passes that each find room in `arenas`.
///
/// # Errors
/// [`ErrorKind::Memory`] where one unit does not.
pub(super) fn passes(units: &[Unit], layers: &[Layer], extent: Extent, arenas: &[u64]) -> Result<Vec<Vec<Placed>>> {
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
                    let message = "a layer's gradients do not fit beside the rest of the step; give more --memory, or \
                                   use fewer samples";
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

/// Places for buffers of so many floats, each in the first arena that has room; nothing is taken where one has none.
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

    fn extent(samples: u32) -> Extent {
        Extent::new(samples, false)
    }

    #[test]
    fn what_takes_fewer_products_is_taken() {
        // One row a sample and long rows: pairs. Many rows of short ones: columns. Nothing but columns: columns.
        let layers = [linear(1, 64, 64), linear(16, 72, 72), linear(4, 32, 2048), norm(32), linear(1, 1, 1)];
        let units = units(&layers, extent(1000), 128 * MEBIBYTE).unwrap();
        let pairs: Vec<bool> = units.iter().map(|unit| unit.form == Form::Pairs).collect();
        assert_eq!(pairs, [true, false, true, false, false]);
    }

    #[test]
    fn wide_layers_are_cut_by_outputs_and_every_output_is_there_once() {
        let layers = [linear(100, 288, 288)];
        for (samples, binding) in [(100, 128), (2000, 128), (8000, 128), (2000, 8)] {
            let extent = Extent::new(samples, true);
            let units = units(&layers, extent, binding * MEBIBYTE).unwrap();
            let mut next = 0;
            for unit in &units {
                let Form::Panel { outputs: Some([first, end]) } = unit.form else { panic!("{unit:?}") };
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

    /// Units stay in their order; less memory makes more passes of the same units.
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
            let in_order: Vec<Unit> = passes.iter().flatten().map(|placed| placed.unit.clone()).collect();
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
