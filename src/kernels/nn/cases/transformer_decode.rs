//! Test cases of [`crate::kernels::nn::transformer_decode`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::linear::Activation;
use crate::kernels::nn::cases::cast_f16::{has_half, near_half, stored};
use crate::kernels::nn::categorical::CategoricalShape;
use crate::kernels::nn::transformer_decode::{
    AffineAt, DECODE, DecodeInputs, DecodeLayout, DecodeShape, DecodeSizes, LayerAt, TransformerAt, TransformerDecode,
    decode_reference,
};
use crate::kernels::nn::weights_pack::pack_reference;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &DECODE, summary: "samples whole sequences of a narrow transformer in one launch", cases };

/// Rows of a workgroup, and groups of four inputs whose weights are loaded ahead.
const TILES: [[u32; 2]; 3] = [[4, 2], [4, 4], [8, 2]];

const SIZES: DecodeSizes = DecodeSizes {
    head: CategoricalShape { outcomes: 16, patches: 4, excitations: None },
    width: 32,
    heads: 8,
    hidden: 128,
    layers: 2,
    activation: Activation::Relu,
    pre_norm: false,
    has_start: false,
    is_complex: false,
};

const fn head(outcomes: u32, patches: u32, excitations: Option<u32>) -> CategoricalShape {
    CategoricalShape { outcomes, patches, excitations }
}

fn cases(gpu: &Gpu) -> Vec<Case> {
    let pre = DecodeSizes { pre_norm: true, has_start: true, activation: Activation::Gelu, ..SIZES };
    let shapes = [
        (5, SIZES),
        (9, pre),
        (1, DecodeSizes { width: 4, heads: 1, hidden: 4, layers: 1, head: head(2, 1, None), ..SIZES }),
        (7, DecodeSizes { width: 20, heads: 5, hidden: 36, head: head(2, 19, Some(9)), ..SIZES }),
        (6, DecodeSizes { width: 64, heads: 16, hidden: 516, is_complex: true, layers: 1, ..SIZES }),
        (4, DecodeSizes { width: 36, heads: 1, hidden: 1032, head: head(256, 3, Some(12)), ..pre }),
        (3, DecodeSizes { width: 48, heads: 4, activation: Activation::Tanh, is_complex: true, layers: 3, ..pre }),
        (257, DecodeSizes { width: 8, heads: 2, hidden: 8, layers: 1, head: head(4, 2, None), ..SIZES }),
    ];
    let drawn =
        shapes.into_iter().flat_map(|(samples, sizes)| TILES.map(|tile| case(samples, sizes, tile, false, DType::F32)));
    let given = [SIZES, pre]
        .map(|sizes| case(6, DecodeSizes { head: head(16, 4, Some(8)), ..sizes }, [8, 2], true, DType::F32));
    let half = has_half(gpu).then(|| case(9, pre, [4, 2], true, DType::F16));
    drawn.chain(given).chain(half).collect()
}

/// Parameters in consecutive places, each a multiple of 128 elements.
struct Parameters<'a> {
    random: &'a mut RandomInputs,
    values: Vec<f32>,
}

impl Parameters<'_> {
    /// Random numbers of a mean of 0, or of 1 for the scales of norms.
    fn place(&mut self, elements: u32, spread: f32, mean: f32) -> u32 {
        let first = self.values.len() as u32;
        self.values.extend(self.random.floats(elements as usize).iter().map(|x| mean + spread * x));
        self.values.resize(self.values.len().next_multiple_of(128), 0.0);
        first
    }

    fn linear(&mut self, outputs: u32, inputs: u32) -> AffineAt {
        [self.place(outputs * inputs, 1.5 / (inputs as f32).sqrt(), 0.0), self.place(outputs, 0.3, 0.0)]
    }

    fn norm(&mut self, width: u32) -> AffineAt {
        [self.place(width, 0.3, 1.0), self.place(width, 0.3, 0.0)]
    }

    fn transformer(&mut self, sizes: &DecodeSizes) -> TransformerAt {
        let (c, f, v) = (sizes.width, sizes.hidden, sizes.head.outcomes);
        let layers = (0..sizes.layers).map(|_| LayerAt {
            qkv: self.linear(3 * c, c),
            out: self.linear(c, c),
            norm1: self.norm(c),
            linear1: self.linear(f, c),
            linear2: self.linear(c, f),
            norm2: self.norm(c),
        });
        let layers = layers.collect();
        TransformerAt {
            layers,
            last_norm: sizes.pre_norm.then(|| self.norm(c)),
            embedding: self.linear(c, v.ilog2()),
            start: sizes.has_start.then(|| self.place(c, 1.0, 0.0)),
            position: sizes.has_start.then(|| self.place(sizes.head.patches * c, 1.0, 0.0)),
            heads: (0..sizes.parts()).map(|_| [self.linear(c, c), self.linear(v, c)]).collect(),
        }
    }
}

/// Sizes and options of a shape.
fn text(DecodeShape { sizes, samples, given, .. }: &DecodeShape, storage: DType) -> String {
    let DecodeSizes { head, width, heads, hidden, layers, activation, .. } = sizes;
    let mut text = format!("({samples}, {}, {width} / {heads}, {hidden}) x {layers}", head.patches);
    text += &format!(" to {} outcomes, {activation:?}, {storage:?}", head.outcomes);
    let options = [
        (sizes.pre_norm, ", pre-norm"),
        (sizes.has_start, ", start"),
        (sizes.is_complex, ", complex"),
        (head.excitations.is_some(), ", sector"),
        (*given, ", given"),
    ];
    options.iter().filter(|(is_set, _)| *is_set).for_each(|(_, name)| text += name);
    text
}

fn case(samples: u32, sizes: DecodeSizes, tile: [u32; 2], given: bool, storage: DType) -> Case {
    let head = sizes.head;
    let mut random = RandomInputs::new(u64::from(samples + sizes.width + sizes.hidden));
    let mut parameters = Parameters { random: &mut random, values: Vec::new() };
    let at = parameters.transformer(&sizes);
    let values = parameters.values;
    let table = random.floats((head.patches * sizes.width) as usize);
    let (matrices, _) = stored(values.clone(), storage);
    let layout = DecodeLayout::new(&sizes, &at);
    let packed = pack_reference(&layout.packed, &values, &matrices, &table);
    let step = [0x1234_5678, 0x9abc_def0, 17, 0];
    let first_sample = 1000;
    let before = random.integers((samples * head.patches) as usize, head.outcomes);

    let inputs = DecodeInputs { values: &values, matrices: &matrices, table: &table, at: &at, step };
    let rounded = |x: f64| match storage {
        DType::F32 => x,
        DType::F16 => half::f16::from_f64(x).to_f64(),
    };
    let (mut tokens, mut log_p) = (Vec::new(), Vec::new());
    let mut outcomes = vec![0.0; (sizes.part_outcomes(samples) * u64::from(sizes.parts() - 1)) as usize];
    let mut logits = Vec::new();
    let mut cache = vec![0.0; (sizes.layer_cache(samples) * u64::from(sizes.layers - 1)) as usize];
    let mut last_layer = Vec::new();
    for (sample, before) in (0..samples).zip(before.chunks(head.patches as usize)) {
        let decoded = decode_reference(&sizes, &inputs, (first_sample + sample, given.then_some(before)), rounded);
        tokens.extend(decoded.tokens);
        log_p.extend(decoded.log_p);
        let [own_logits, phases] = decoded.outcomes;
        let at = sample as usize * own_logits.len();
        match sizes.is_complex {
            true => outcomes[at..at + own_logits.len()].copy_from_slice(&own_logits),
            false => logits.extend(own_logits),
        }
        logits.extend(phases);
        for (layer, rows) in decoded.cache.into_iter().enumerate() {
            if layer + 1 == sizes.layers as usize {
                last_layer.extend(rows);
                continue;
            }
            let at = layer * sizes.layer_cache(samples) as usize + sample as usize * rows.len();
            cache[at..at + rows.len()].copy_from_slice(&rows);
        }
    }
    outcomes.extend(logits);
    cache.extend(last_layer);

    let shape = DecodeShape { sizes, samples, first_sample, given };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let decode = TransformerDecode::from_case(buffers)?;
        // Two launches, the second of which may have no rows to fill a workgroup.
        let half = samples / 2;
        for window in [0..half, half..samples].into_iter().filter(|window| !window.is_empty()) {
            decode.record_window(plan, (&shape, window), &layout, tile)?;
        }
        Ok(())
    };
    let tolerance = if storage == DType::F16 { 1e-3 } else { 3e-6 };
    let near = |values: Vec<f64>| Expected::Near { values, tolerance };
    // Gaps between layers and between parts are not written.
    let zeros = |length: usize| vec![0.0f32; length];
    let mut buffers = vec![
        ("packed", packed.into()),
        ("step", step.to_vec().into()),
        ("tokens", before.into()),
        ("outcomes", zeros(outcomes.len()).into()),
    ];
    buffers.push(("cache", stored(zeros(cache.len()), storage).1));
    Case {
        name: format!("{}, {} rows at a time, {} ahead", text(&shape, storage), tile[0], tile[1]),
        inputs: buffers,
        outputs: vec![
            ("tokens", Expected::Exactly(tokens)),
            ("log_p", near(log_p)),
            ("outcomes", near(outcomes)),
            ("cache", if storage == DType::F16 { near_half(cache, tolerance) } else { near(cache) }),
        ],
        record: Box::new(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_workgroup_change_no_bit() {
        let gpu = Gpu::new().unwrap();
        let wide = DecodeSizes { width: 64, heads: 4, hidden: 516, pre_norm: true, ..SIZES };
        let words = |sizes, tile| case(11, sizes, tile, false, DType::F32).run(&gpu).unwrap();
        for sizes in [SIZES, wide] {
            let expected = words(sizes, TILES[0]);
            assert!(TILES[1..].iter().all(|tile| words(sizes, *tile) == expected), "{sizes:?}");
        }
    }
}
