//! out = softmax(q kᵀ / √D) v of whole sequences or a window of their queries.

use super::{
    AttentionShape, FORMS, TEAM, attend, choose, class, groups, head_needs, part, random_qkv, scale, taken, wide,
};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Plan, Storage, View};
use crate::kernels::choice::{Choice, Form, Forms};
use crate::kernels::linear::Variant;
use crate::kernels::narrow::{has_half, stored};
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static FORWARD: Kernel = kernel!("attention_forward");
static FORWARD_PRIVATE: Kernel = kernel!("attention_forward_private");

pub(in crate::kernels) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "out = softmax(q kᵀ / √D) v", cases: forward_cases };
pub(in crate::kernels) const FORWARD_PRIVATE_ENTRY: Entry = Entry {
    kernel: &FORWARD_PRIVATE,
    summary: "the same for any width of heads, without subgroups",
    cases: forward_private_cases,
};

pub(in crate::kernels) static FORWARD_CHOICE: Choice<AttentionShape> = Choice {
    forms: Forms { kernel: "attention_forward", least_lanes: TEAM, all: FORMS_FORWARD },
    class: |shape| {
        let queries = if shape.queries == 1 { "one query of" } else { "" };
        format!("{queries} {}", class(shape.t, shape.d)).trim().into()
    },
    rule: |gpu, shape| match choose(gpu, shape) {
        // Its few arrays leave software adapters room for four queries.
        Variant::Subgroup if gpu.is_software() && shape.d <= 64 && shape.queries >= 4 * TEAM => {
            (Variant::Subgroup, 4, 1)
        }
        variant => taken(gpu, variant, [3, 2], shape.d, shape.queries),
    },
    needs: |_, shape, form| head_needs(shape.d, form),
};

/// As the other kernels', and four queries to a lane of a team.
const FORMS_FORWARD: &[Form] = &[FORMS[0], FORMS[1], Form::subgroup("team4", 4, 1), FORMS[2], FORMS[3], FORMS[4]];

/// Attention forward, see the module's page.
#[derive(Debug, Clone)]
pub struct AttentionForward {
    /// (B·T, 3C), or with a stride more rows, of f32 or f16
    pub qkv: View,
    /// (B·n, C)
    pub out: View,
    /// (B·n, H), natural logarithm of the sum of exponentials, for the backward pass
    pub lse: View,
}

impl AttentionForward {
    /// Records the kernel, in the form that is best for its shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128 or queries outside the positions; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        shape.check(&FORWARD)?;
        let form = FORWARD_CHOICE.take(plan.gpu(), shape)?;
        self.record_form(plan, shape, form)
    }

    fn record_form(&self, plan: &mut Plan, shape: &AttentionShape, form: &Form) -> Result<()> {
        let (rows, query_rows, width) = (shape.rows(), shape.query_rows(), shape.width());
        let heads = u64::from(shape.h);
        let mut bindings = vec![
            Bind { name: "qkv", view: &self.qkv, elements: shape.buffer_rows() * 3 * width },
            Bind { name: "out", view: &self.out, elements: query_rows * width },
            Bind { name: "lse", view: &self.lse, elements: query_rows * heads },
        ];
        let kernel = match form.variant {
            Variant::Subgroup => &FORWARD,
            Variant::Private | Variant::Shared | Variant::Panel => {
                bindings.push(Bind { name: "qkv4", view: &self.qkv, elements: shape.buffer_rows() * 3 * width });
                &FORWARD_PRIVATE
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", form.tile), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bindings,
            params: &[
                ("samples", shape.b.most.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("first", shape.first.into()),
                ("queries", shape.queries.into()),
                ("causal", u32::from(shape.causal).into()),
                ("scale", scale(shape.d)),
                ("stride", shape.stride.into()),
                ("offset", shape.offset.into()),
            ],
            groups: groups(&shape.b, shape.queries, shape.h, form),
            cost: Cost {
                flops: 4.0 * shape.pairs() * f64::from(shape.d),
                bytes: (self.qkv.storage().bytes() * (2 * rows + query_rows) * width + 4 * query_rows * (width + heads))
                    as f64,
            },
            shape: shape.text(),
        })
    }
}

/// out (B·n, C) and lse (B·n, H) in f64.
pub fn forward_reference(qkv: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for sample in 0..shape.b.most as usize {
        for position in shape.first as usize..(shape.first + shape.queries) as usize {
            let keys = if shape.causal { position + 1 } else { t };
            for head in 0..h {
                let row = |j: usize| sample * shape.stride as usize + shape.offset as usize + j;
                let at = |j: usize, third| part(qkv, row(j), third, head, h, d);
                let keys: Vec<_> = (0..keys).map(|j| (at(j, 1), at(j, 2))).collect();
                let (row, total) = attend(at(position, 0), &keys);
                out.extend(row);
                lse.push(total);
            }
        }
    }
    (out, lse)
}

type ForwardCase = ([u32; 4], u32, u32);

fn forward_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 10] = [
        ([3, 5, 2, 4], 0, 5),
        ([2, 17, 3, 8], 0, 17),
        ([5, 16, 2, 16], 0, 16),
        ([2, 33, 1, 20], 0, 33),
        ([1, 70, 2, 64], 0, 70),
        ([3, 23, 3, 4], 2, 19),
        ([65, 16, 4, 8], 15, 1),
        ([3, 8, 3, 8], 0, 8),
        ([1, 8192, 1, 4], 8170, 22),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    both_masks(gpu, Variant::Subgroup, &shapes)
}

fn forward_private_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes: [ForwardCase; 12] = [
        ([1, 1, 1, 1], 0, 1),
        ([3, 5, 2, 4], 0, 5),
        ([2, 17, 3, 8], 0, 17),
        ([5, 16, 2, 16], 0, 16),
        ([1, 70, 2, 20], 0, 70),
        ([1, 9, 1, 66], 0, 9),
        ([2, 13, 5, 3], 0, 13),
        ([3, 7, 3, 6], 2, 3),
        ([65, 16, 4, 8], 15, 1),
        ([3, 16, 4, 8], 0, 1),
        ([1, 8192, 1, 4], 8170, 22),
        ([70_000, 2, 1, 4], 0, 2),
    ];
    both_masks(gpu, Variant::Private, &shapes)
}

/// Small shapes in every form of the variant, large ones in each by turns, with both masks; causal also over f16.
fn both_masks(gpu: &Gpu, variant: Variant, shapes: &[ForwardCase]) -> Vec<Case> {
    let cases = |(i, shape): (usize, &ForwardCase)| {
        let [b, t, h, d] = shape.0;
        let forms =
            FORWARD_CHOICE.of_case(gpu, variant, &AttentionShape::full(b, t, h, d), b * t * d < 20_000 && d <= 20, i);
        let of_form = |form: Form| {
            let words = [true, false].map(|causal| forward_case(form, *shape, causal, Storage::Word, 0));
            // Short samples also as parts of longer ones.
            let part = (t < 10).then(|| forward_case(form, *shape, true, Storage::Word, 3));
            let half = has_half(gpu).then(|| forward_case(form, *shape, true, Storage::Half, 0));
            words.into_iter().chain(part).chain(half)
        };
        forms.into_iter().flat_map(of_form).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

/// With `around` rows of every sample before it and as many after it.
fn forward_case(
    form: Form,
    ([b, t, h, d], first, queries): ForwardCase,
    causal: bool,
    storage: Storage,
    around: u32,
) -> Case {
    let shape = AttentionShape { causal, first, queries, ..AttentionShape::full(b, t, h, d) };
    let shape = shape.within(t + 2 * around, around);
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let (qkv, stored_qkv) = stored(random_qkv(&mut random, (b * shape.stride * 3 * h * d) as usize), storage);
    let (out, lse) = forward_reference(&wide(&qkv), &shape);
    let half = if storage == Storage::Half { " f16 qkv" } else { "" };
    let name = format!("({b}, {t}, {h}, {d}) queries {first} + {queries} causal {causal}{half}, {around} around");
    // The running sums' rounding errors grow with the keys.
    let tolerance = 3e-6 * (1.0 + f64::from(t) / 2048.0);
    let record = move |plan: &mut Plan, named: &Named| {
        let attention = AttentionForward { qkv: named.view("qkv")?, out: named.view("out")?, lse: named.view("lse")? };
        attention.record_form(plan, &shape, &form)
    };
    Case {
        name,
        inputs: vec![("qkv", stored_qkv)],
        outputs: vec![
            ("out", Expected::Near { values: out, tolerance }),
            ("lse", Expected::Near { values: lse, tolerance }),
        ],
        record: Box::new(record),
    }
    .of_form(&form)
}
