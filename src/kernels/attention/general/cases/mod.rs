//! Test cases of the kernels of [`crate::kernels::attention::general`].

pub(crate) mod backward;
pub(crate) mod forward;
pub(crate) mod scores;
pub(crate) mod split;

use crate::gpu::{DType, Gpu, Kernel};
use crate::kernels::attention::cases::random_qkv;
use crate::kernels::attention::general::{BiasStrides, GeneralInputs, GeneralShape, Layout, Layouts, Strides};
use crate::kernels::case::wide;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::variant::{Variant, VariantSelector};
use crate::kernels::{Case, Expected, RandomInputs, Values};

/// Sizes of a case: samples, queries, keys, heads, heads of keys, widths of keys and values.
pub(crate) type Sizes = [u32; 7];

/// Sizes of cases: one of everything, around the ends of tiles of 32 queries and 64 keys, primes, all numbers of columns of
/// a workgroup and more than one, and groups of heads.
pub(crate) const SIZES: &[Sizes] = &[
    [2, 4, 6, 3, 3, 8, 10],
    [1, 1, 1, 1, 1, 1, 1],
    [2, 31, 63, 2, 1, 5, 3],
    [1, 33, 65, 6, 2, 17, 16],
    [3, 7, 13, 4, 4, 16, 40],
    [1, 32, 64, 2, 2, 64, 64],
    [1, 61, 131, 2, 1, 67, 129],
    [2, 3, 200, 9, 3, 12, 4],
    [1, 97, 11, 1, 1, 33, 2],
    [1, 5, 3, 2, 2, 256, 256],
];

/// Sizes with more than 65,535 workgroups, which run with one set of options.
const MANY: Sizes = [33_000, 1, 2, 2, 1, 4, 3];

/// Sizes with many keys.
const LONG: Sizes = [1, 3, 5000, 1, 1, 4, 4];

/// A case of a general kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GeneralCase {
    pub shape: GeneralShape,
    /// Whether it has a bias, of which some are −∞.
    pub biased: bool,
    /// Whether each sample has a number of keys.
    pub counted: bool,
    pub storage: DType,
}

/// Sizes as a shape.
fn shape_of([samples, queries, keys, heads, key_heads, width, value_width]: Sizes) -> GeneralShape {
    GeneralShape {
        samples,
        queries,
        keys,
        heads,
        width,
        key_heads: Some(key_heads),
        value_width: Some(value_width),
        ..Default::default()
    }
}

/// A case without options.
fn plain(shape: GeneralShape) -> GeneralCase {
    GeneralCase { shape, biased: false, counted: false, storage: DType::F32 }
}

/// All cases: each of [`SIZES`] in a few of the options, and large sizes.
pub(crate) fn general_cases(gpu: &Gpu) -> Vec<GeneralCase> {
    let large = [(LONG, 4990), (MANY, 1)];
    let large = large.map(|(sizes, past)| plain(GeneralShape { keys_after: Some(0), past, ..shape_of(sizes) }));
    option_cases(gpu, SIZES).into_iter().chain(large).collect()
}

/// Each of `sizes` in a few of the options, which take turns, and f16 where the adapter has it.
fn option_cases(gpu: &Gpu, sizes: &[Sizes]) -> Vec<GeneralCase> {
    let storages: &[DType] = if has_half(gpu) { &[DType::F32, DType::F16] } else { &[DType::F32] };
    let of_sizes = |(turn, sizes): (usize, &Sizes)| {
        let shape = shape_of(*sizes);
        let [samples, queries, keys, heads, ..] = *sizes;
        let masked = GeneralShape { keys_after: Some(0), past: keys / 3, ..shape };
        let window = GeneralShape { keys_before: Some(2), keys_after: Some(1), scale: Some(0.3), ..shape };
        let capped = GeneralShape { softcap: Some(1.5), layouts: Layout::HeadFirst.into(), ..shape };
        let strides = [
            BiasStrides::default(),
            BiasStrides { query: keys, ..Default::default() },
            BiasStrides { sample: heads * queries * keys, head: queries * keys, query: keys },
        ];
        let biased = GeneralShape { bias: strides[turn % 3], softcap: Some(2.0), ..shape };
        let counted = GeneralShape { keys_after: Some(0), keys_before: (turn % 2 == 1).then_some(3), ..shape };
        let half = storages.iter().filter(|storage| **storage == DType::F16);
        let mut cases = vec![plain(shape), plain(masked), plain(window), plain(capped)];
        cases.push(GeneralCase { biased: true, ..plain(biased) });
        cases.push(GeneralCase { counted: samples > 0, ..plain(counted) });
        cases.push(plain(GeneralShape { layouts: apart(&shape), ..shape }));
        cases.extend(half.map(|storage| GeneralCase { biased: true, storage: *storage, ..plain(biased) }));
        cases
    };
    sizes.iter().enumerate().flat_map(of_sizes).collect()
}

/// All cases that a variant launching `kernel` can run.
pub(crate) fn variant_cases(
    gpu: &Gpu,
    selector: &VariantSelector<GeneralShape>,
    kernel: &Kernel,
    case: impl Fn(GeneralCase, Variant) -> Case,
) -> Vec<Case> {
    let variants = |of: &GeneralCase| selector.of_kernel(gpu, kernel, &of.shape, true, 0);
    let of_variants = |of: GeneralCase| variants(&of).into_iter().map(move |variant| (of, variant));
    general_cases(gpu).into_iter().flat_map(of_variants).map(|(of, variant)| case(of, variant)).collect()
}

/// Layouts in which keys and values are parts of one row, in the order (T, B, H), with unused elements in between.
fn apart(shape: &GeneralShape) -> Layouts {
    let row = shape.width + shape.value_width() + 1;
    let strided = |offset| {
        let (head, sample) = (row, shape.key_heads() * row);
        Layout::Strided(Strides { offset, head, sample, position: shape.samples * sample })
    };
    Layouts { k: strided(0), v: strided(shape.width + 1), ..Layouts::default() }
}

/// Inputs of a case.
pub(crate) struct Made {
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    d_out: Vec<f64>,
    bias: Option<Vec<f64>>,
    key_counts: Option<Vec<u32>>,
    /// Buffers of the forward pass.
    pub buffers: Vec<(&'static str, Values)>,
    pub stored_d_out: Values,
}

impl Made {
    pub(crate) fn new(case: &GeneralCase) -> Self {
        let shape = &case.shape;
        let mut random =
            RandomInputs::new(u64::from(shape.samples * 31 + shape.queries * 7 + shape.keys * 3 + shape.width));
        let [q, k, v, out] = shape.elements().map(|elements| elements as usize);
        let mut made = |count| stored(random_qkv(&mut random, count), case.storage);
        let [(q, stored_q), (k, stored_k), (v, stored_v), (d_out, stored_d_out)] = [q, k, v, out].map(&mut made);
        let mut buffers = vec![("q", stored_q), ("k", stored_k), ("v", stored_v)];
        let bias = case.biased.then(|| {
            let floats = random.floats(shape.bias_elements() as usize);
            floats.into_iter().map(|b| if b > 0.6 { f32::NEG_INFINITY } else { 3.0 * b }).collect::<Vec<f32>>()
        });
        let key_counts = case.counted.then(|| random.integers(shape.samples as usize, shape.keys + 1));
        buffers.extend(bias.clone().map(|bias| ("bias", bias.into())));
        buffers.extend(key_counts.clone().map(|counts| ("key_counts", counts.into())));
        Self {
            q: wide(&q),
            k: wide(&k),
            v: wide(&v),
            d_out: wide(&d_out),
            bias: bias.as_deref().map(wide),
            key_counts,
            buffers,
            stored_d_out,
        }
    }

    pub(crate) fn d_out(&self) -> &[f64] {
        &self.d_out
    }

    /// Statistics (B, H, Tq, 2) from an output and lse.
    pub(crate) fn statistics(&self, out: &[f32], lse: &[f64], shape: &GeneralShape) -> Vec<f64> {
        let [.., strides] = shape.strides();
        let rows = (0..shape.samples).flat_map(|b| (0..shape.heads).map(move |h| (b, h)));
        let rows = rows.flat_map(|(b, h)| (0..shape.queries).map(move |i| strides.at(b, i, h)));
        let width = shape.value_width() as usize;
        let delta = |at: usize| (at..at + width).map(|e| f64::from(out[e]) * self.d_out[e]).sum::<f64>();
        rows.zip(lse).flat_map(|(at, lse)| [*lse, delta(at)]).collect()
    }

    pub(crate) fn inputs(&self) -> GeneralInputs<'_> {
        GeneralInputs {
            q: &self.q,
            k: &self.k,
            v: &self.v,
            bias: self.bias.as_deref(),
            key_counts: self.key_counts.as_deref(),
        }
    }
}

impl GeneralCase {
    pub(crate) fn name(&self) -> String {
        let shape = &self.shape;
        let words = [
            (self.biased, "bias".to_string()),
            (self.counted, "counts".into()),
            (self.storage == DType::F16, "f16".into()),
            (shape.softcap.is_some(), "softcap".into()),
            (shape.keys_after.is_some() || shape.keys_before.is_some(), {
                format!("window {:?} {:?} past {}", shape.keys_before, shape.keys_after, shape.past)
            }),
            (
                shape.layouts != Layouts::default(),
                format!("{:?}", shape.layouts.k).split(' ').next().unwrap_or_default().into(),
            ),
        ];
        let words: Vec<String> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        format!("{} {}", shape.text(), words.join(", ")).trim().into()
    }

    /// An output of the storage type. Gradients have a larger tolerance.
    pub(crate) fn expected(&self, values: Vec<f64>, tolerance: f64) -> Expected {
        match self.storage {
            DType::F16 => Expected::NearHalf { values, tolerance: 1e-3 },
            DType::F32 => Expected::Near { values, tolerance },
        }
    }
}
