//! Gradients of attention with respect to its queries, keys and values.

use std::ops::Range;

use super::{
    AttentionShape, LANES, TEAM, choose, class, forms, forward_reference, groups, head_needs, narrow, part, random_qkv,
    scale, taken, wide, window,
};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Param, Plan, View};
use crate::kernels::choice::{Choice, Form, Forms};
use crate::kernels::linear::Variant;
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static BACKWARD_QUERY: Kernel = kernel!("attention_backward_query");
static BACKWARD_QUERY_PRIVATE: Kernel = kernel!("attention_backward_query_private");
static BACKWARD_KEY: Kernel = kernel!("attention_backward_key");
static BACKWARD_KEY_PRIVATE: Kernel = kernel!("attention_backward_key_private");
static BACKWARD_SHORT: Kernel = kernel!("attention_backward_short");

pub(in crate::kernels) const BACKWARD_QUERY_ENTRY: Entry =
    Entry { kernel: &BACKWARD_QUERY, summary: "d_q = p ∘ (d_out vᵀ − δ) k / √D", cases: backward_query_cases };
pub(in crate::kernels) const BACKWARD_QUERY_PRIVATE_ENTRY: Entry = Entry {
    kernel: &BACKWARD_QUERY_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: backward_query_private_cases,
};
pub(in crate::kernels) const BACKWARD_KEY_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY,
    summary: "d_k = (p ∘ (d_out vᵀ − δ))ᵀ q / √D, d_v = pᵀ d_out",
    cases: backward_key_cases,
};
pub(in crate::kernels) const BACKWARD_KEY_PRIVATE_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: backward_key_private_cases,
};
pub(in crate::kernels) const BACKWARD_SHORT_ENTRY: Entry = Entry {
    kernel: &BACKWARD_SHORT,
    summary: "d_q, d_k and d_v in one pass, for short sequences",
    cases: backward_short_cases,
};

/// Positions up to which one team goes through a whole sequence in a backward pass; longer ones are shared among teams.
const SHORT: u32 = 256;

/// Widest heads whose gradients fit into registers.
const SHORT_WIDTH: u32 = 32;

/// Whether the backward pass is one kernel: for heads whose gradients fit into registers, where teams pay off. The order of
/// its sums is its own, so that this is no choice to be tuned; asking for a form of either by name decides it.
fn is_short(gpu: &Gpu, shape: &AttentionShape) -> bool {
    if BACKWARD_SHORT_CHOICE.is_forced(gpu) || BACKWARD_QUERY_CHOICE.is_forced(gpu) {
        return BACKWARD_SHORT_CHOICE.is_forced(gpu);
    }
    (TEAM..=SHORT).contains(&shape.t) && shape.d <= SHORT_WIDTH && choose(gpu, shape) == Variant::Subgroup
}

pub(in crate::kernels) static BACKWARD_QUERY_CHOICE: Choice<AttentionShape> = Choice {
    forms: forms("attention_backward_query"),
    class: |shape| class(shape.t, shape.d),
    rule: |gpu, shape| taken(gpu, choose(gpu, shape), [5, 3], shape.d, shape.t),
    needs: |_, shape, form| head_needs(shape.d, form),
};
pub(in crate::kernels) static BACKWARD_KEY_CHOICE: Choice<AttentionShape> = Choice {
    forms: forms("attention_backward_key"),
    class: |shape| class(shape.t, shape.d),
    rule: |gpu, shape| taken(gpu, choose(gpu, shape), [6, 4], shape.d, shape.t),
    needs: |_, shape, form| head_needs(shape.d, form),
};
/// Keys of a lane, which decide in which order a query's gradient is added up.
pub(in crate::kernels) static BACKWARD_SHORT_CHOICE: Choice<AttentionShape> = Choice {
    forms: Forms {
        kernel: "attention_backward_short",
        least_lanes: TEAM,
        all: &[Form::subgroup("short1", 1, 1), Form::subgroup("short2", 2, 1).order(1)],
    },
    class: |shape| class(shape.t, shape.d),
    // Two keys to a lane halve what is loaded, and are half idle in the first block of a causal sequence.
    rule: |gpu, shape| (Variant::Subgroup, if gpu.is_software() && shape.t > TEAM { 2 } else { 1 }, 1),
    needs: |_, shape, form| {
        let wide = shape.d > SHORT_WIDTH;
        if wide {
            Some(format!("heads of width {SHORT_WIDTH} at most, got {}", shape.d))
        } else {
            head_needs(shape.d, form)
        }
    },
};

/// Attention backward, see the module's page: `attention_backward_short`, or for long sequences and wide heads
/// `attention_backward_query` and then `attention_backward_key`.
#[derive(Debug, Clone)]
pub struct AttentionBackward {
    /// (B·T, 3C)
    pub qkv: View,
    /// (B·T, C) from the forward pass
    pub out: View,
    /// (B·T, H) from the forward pass
    pub lse: View,
    /// (B·T, C)
    pub d_out: View,
    /// (B·T, H), scratch for δ
    pub delta: View,
    /// (B·T, 3C)
    pub d_qkv: View,
}

impl AttentionBackward {
    /// Records the one kernel for short sequences or both others, in the forms that are best for the shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128 or a shape whose queries are not all positions; as
    /// [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        if is_short(plan.gpu(), shape) {
            shape.check_whole(&BACKWARD_SHORT)?;
            let form = BACKWARD_SHORT_CHOICE.take(plan.gpu(), shape)?;
            return self.record_short(plan, shape, form);
        }
        shape.check_whole(&BACKWARD_QUERY)?;
        let form = BACKWARD_QUERY_CHOICE.take(plan.gpu(), shape)?;
        self.record_query(plan, shape, form)?;
        let form = BACKWARD_KEY_CHOICE.take(plan.gpu(), shape)?;
        self.record_key(plan, shape, form)
    }

    fn params(shape: &AttentionShape) -> [(&'static str, Param); 5] {
        [
            ("samples", shape.b.most.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("causal", u32::from(shape.causal).into()),
            ("scale", scale(shape.d)),
        ]
    }

    /// What the kernels bind; the one over keys all but `out`.
    fn operands(&self, shape: &AttentionShape) -> Vec<Bind<'_>> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        vec![
            Bind { name: "qkv", view: &self.qkv, elements: rows * 3 * width },
            Bind { name: "out", view: &self.out, elements: rows * width },
            Bind { name: "lse", view: &self.lse, elements: rows * heads },
            Bind { name: "d_out", view: &self.d_out, elements: rows * width },
            Bind { name: "d_qkv", view: &self.d_qkv, elements: rows * 3 * width },
            Bind { name: "delta", view: &self.delta, elements: rows * heads },
        ]
    }

    fn record_short(&self, plan: &mut Plan, shape: &AttentionShape, form: &Form) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        plan.launch(&Launch {
            kernel: &BACKWARD_SHORT,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", form.tile), ("WHOLE", (shape.t <= TEAM * form.tile).into())],
            bindings: &self.operands(shape),
            params: &Self::params(shape),
            groups: shape.b.times(shape.h).groups(LANES / TEAM, 1),
            cost: Cost {
                flops: 10.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (8 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    fn record_query(&self, plan: &mut Plan, shape: &AttentionShape, form: &Form) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = self.operands(shape);
        let kernel = match form.variant {
            Variant::Subgroup => &BACKWARD_QUERY,
            Variant::Private | Variant::Shared | Variant::Panel => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                &BACKWARD_QUERY_PRIVATE
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", form.tile)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups: groups(&shape.b, shape.t, shape.h, form),
            cost: Cost {
                flops: 6.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    fn record_key(&self, plan: &mut Plan, shape: &AttentionShape, form: &Form) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = self.operands(shape);
        bindings.retain(|bind| bind.name != "out");
        let kernel = match form.variant {
            Variant::Subgroup => &BACKWARD_KEY,
            Variant::Private | Variant::Shared | Variant::Panel => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: rows * 3 * width });
                bindings.push(Bind { name: "d_out4", view: &self.d_out, elements: rows * width });
                &BACKWARD_KEY_PRIVATE
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", form.tile)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups: groups(&shape.b, shape.t, shape.h, form),
            cost: Cost {
                flops: 8.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// d_qkv (B·T, 3C) and delta (B·T, H) in f64.
pub fn backward_reference(qkv: &[f64], d_out: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (out, lse) = forward_reference(qkv, shape);
    let scale = 1.0 / (d as f64).sqrt();
    let mut d_qkv = vec![0.0; qkv.len()];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let head_of = |values: &'_ [f64], row: usize, head: usize| values[(row * h + head) * d..][..d].to_vec();
    let mut delta = Vec::new();
    for row in 0..shape.b.most as usize * t {
        let (first, position) = (row - row % t, row % t);
        let end = first + if shape.causal { position + 1 } else { t };
        for head in 0..h {
            let (q, slope) = (part(qkv, row, 0, head, h, d), head_of(d_out, row, head));
            let product = dot(&slope, &head_of(&out, row, head));
            delta.push(product);
            for key in first..end {
                let (k, v) = (part(qkv, key, 1, head, h, d), part(qkv, key, 2, head, h, d));
                let p = (scale * dot(q, k) - lse[row * h + head]).exp();
                let d_score = scale * p * (dot(&slope, v) - product);
                for c in 0..d {
                    d_qkv[(3 * row * h + head) * d + c] += d_score * k[c];
                    d_qkv[((3 * key + 1) * h + head) * d + c] += d_score * q[c];
                    d_qkv[((3 * key + 2) * h + head) * d + c] += p * slope[c];
                }
            }
        }
    }
    (d_qkv, delta)
}

const TEAM_SHAPES: [[u32; 4]; 7] =
    [[1, 1, 1, 4], [2, 17, 3, 8], [4, 16, 2, 16], [1, 67, 2, 20], [3, 8, 3, 8], [1, 8192, 1, 4], [66_000, 1, 1, 4]];
const SHORT_SHAPES: [[u32; 4]; 16] = [
    [1, 1, 1, 4],
    [3, 2, 3, 4],
    [2, 7, 3, 8],
    [4, 8, 2, 16],
    [3, 9, 3, 4],
    [2, 15, 3, 16],
    [5, 16, 2, 16],
    [2, 17, 3, 8],
    [1, 33, 3, 4],
    [1, 64, 2, 16],
    [1, 67, 2, 20],
    [2, 21, 1, 12],
    [1, 26, 2, 32],
    [2, 13, 1, 28],
    [1, 144, 1, 8],
    [66_000, 1, 1, 4],
];
const PRIVATE_SHAPES: [[u32; 4]; 6] =
    [[1, 1, 1, 1], [3, 5, 2, 4], [2, 17, 3, 8], [1, 37, 2, 20], [2, 13, 5, 3], [66_000, 1, 1, 4]];

fn backward_query_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(gpu, &BACKWARD_QUERY_CHOICE, Variant::Subgroup, &TEAM_SHAPES, AttentionBackward::record_query, 0..1)
}

fn backward_query_private_cases(gpu: &Gpu) -> Vec<Case> {
    let record = AttentionBackward::record_query;
    backward_cases(gpu, &BACKWARD_QUERY_CHOICE, Variant::Private, &PRIVATE_SHAPES, record, 0..1)
}

fn backward_key_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(gpu, &BACKWARD_KEY_CHOICE, Variant::Subgroup, &TEAM_SHAPES, AttentionBackward::record_key, 1..3)
}

fn backward_key_private_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(gpu, &BACKWARD_KEY_CHOICE, Variant::Private, &PRIVATE_SHAPES, AttentionBackward::record_key, 1..3)
}

fn backward_short_cases(gpu: &Gpu) -> Vec<Case> {
    backward_cases(gpu, &BACKWARD_SHORT_CHOICE, Variant::Subgroup, &SHORT_SHAPES, AttentionBackward::record_short, 0..3)
}

type RecordBackward = fn(&AttentionBackward, &mut Plan, &AttentionShape, &Form) -> Result<()>;

/// Few samples in every form of the variant, many in each by turns; references of long sequences take seconds, so that
/// one form and one mask must do.
fn backward_cases(
    gpu: &Gpu,
    choice: &Choice<AttentionShape>,
    variant: Variant,
    shapes: &[[u32; 4]],
    record: RecordBackward,
    thirds: Range<usize>,
) -> Vec<Case> {
    let cases = |(i, [b, t, h, d]): (usize, &[u32; 4])| {
        let forms = choice.of_case(gpu, variant, &AttentionShape::full(*b, *t, *h, *d), *b < 1000 && *t < 1000, i);
        let (masks, thirds) = (if *t > 1024 { &[true][..] } else { &[true, false] }, thirds.clone());
        let masked = move |form| {
            let thirds = thirds.clone();
            masks.iter().map(move |causal| backward_case([*b, *t, *h, *d], *causal, form, record, thirds.clone()))
        };
        forms.into_iter().flat_map(masked).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

/// A kernel on a window of samples that the GPU counts. It makes some thirds of the rows of d_qkv and must leave the
/// others as they were; the one that makes the first also makes delta.
fn backward_case(
    [b, t, h, d]: [u32; 4],
    causal: bool,
    form: Form,
    record: RecordBackward,
    thirds: Range<usize>,
) -> Case {
    let shape = AttentionShape { causal, ..AttentionShape::full(b, t, h, d) };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let qkv = random_qkv(&mut random, (b * t * 3 * h * d) as usize);
    let d_out = random.floats((b * t * h * d) as usize);
    let (out, lse) = forward_reference(&wide(&qkv), &shape);
    let (mut d_qkv, delta) = backward_reference(&wide(&qkv), &wide(&d_out), &shape);
    let before = random.floats(d_qkv.len());
    let width = (h * d) as usize;
    for (at, value) in d_qkv.iter_mut().enumerate() {
        if !thirds.contains(&(at % (3 * width) / width)) {
            *value = f64::from(before[at]);
        }
    }
    // The running sums' rounding errors grow with the keys.
    let near = |values| Expected::Near { values, tolerance: 1e-5 * (1.0 + f64::from(t) / 2048.0) };
    let mut inputs = vec![
        ("qkv", qkv.into()),
        ("out", narrow(&out).into()),
        ("lse", narrow(&lse).into()),
        ("d_out", d_out.into()),
        ("d_qkv", before.into()),
        ("live", vec![b + 3].into()),
    ];
    let mut outputs = vec![("d_qkv", near(d_qkv))];
    if thirds.start == 0 {
        outputs.push(("delta", near(delta)));
    } else {
        inputs.push(("delta", narrow(&delta).into()));
    }
    let record = move |plan: &mut Plan, named: &Named| {
        let attention = AttentionBackward {
            qkv: named.view("qkv")?,
            out: named.view("out")?,
            lse: named.view("lse")?,
            d_out: named.view("d_out")?,
            delta: named.view("delta")?,
            d_qkv: named.view("d_qkv")?,
        };
        let live = window(named.view("live")?, b);
        plan.resolve_grids(&live.live)?;
        record(&attention, plan, &AttentionShape { b: live.into(), ..shape.clone() }, &form)
    };
    Case { name: format!("({b}, {t}, {h}, {d}) causal {causal}"), inputs, outputs, record: Box::new(record) }
        .of_form(&form)
}
