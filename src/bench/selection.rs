//! Kernel variants that an adapter selects for training steps and benchmark shapes.

use super::shape::BenchShape;
use super::subject::Subject;
use super::subjects::step;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, VariantSelection, View};
use crate::kernels::attention::general::{GeneralBackward, GeneralShape};
use crate::kernels::attention::{AttentionBackward, AttentionDropout, AttentionForward, AttentionShape};
use crate::kernels::token::{
    CrossEntropyGradient, CrossEntropyShape, CrossEntropyStatistics, TokenEmbed, TokenEmbedShape, TokenGradient,
    TokenGradientShape,
};

/// Records what GPUs run on `gpu`, which only plans ([`Gpu::planning`]), and calls `each` for every plan: steps of every
/// family, attention of short and long sequences, and the kernels of models over a vocabulary.
///
/// # Errors
/// As [`Plan::launch`].
pub fn record_suite(gpu: &Gpu, mut each: impl FnMut(&Plan)) -> Result<()> {
    let steps = [
        (Subject::Step, [16, 256, 32]),
        (Subject::Step, [16, 2048, 64]),
        (Subject::Step, [64, 1024, 128]),
        (Subject::StepRnn, [64, 256, 128]),
        (Subject::StepLptf, [64, 64, 128]),
        (Subject::StepSr, [16, 2000, 112]),
    ];
    for (subject, shape) in steps {
        step::planned(gpu, subject, &BenchShape(shape.to_vec()))?.plans().into_iter().for_each(&mut each);
    }
    let mut plan = Plan::new(gpu);
    let step = gpu.buffer("step", 4)?.view();
    let dropout = Some(AttentionDropout { step, rate: 0.2, site: 0, first_sample: 0 });
    let causal = |[b, t, h, d]: [u32; 4]| AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
    let shapes = [
        causal([256, 16, 8, 16]),
        causal([64, 64, 8, 16]),
        causal([64, 64, 4, 32]),
        causal([16, 256, 8, 64]),
        causal([4, 1024, 4, 128]),
        AttentionShape { dropout: dropout.clone(), ..causal([64, 11, 3, 16]) },
        AttentionShape { dropout: dropout.clone(), ..causal([64, 64, 4, 32]) },
        AttentionShape { dropout, ..causal([64, 256, 6, 64]) },
    ];
    for shape in shapes {
        let AttentionShape { t, h, d, .. } = shape;
        let b = shape.b.capacity;
        let buffer = |label: &str, width: u32| Ok(gpu.buffer(label, u64::from(b * t * width))?.view());
        let [qkv, d_qkv]: [_; 2] = [buffer("qkv", 3 * h * d)?, buffer("d_qkv", 3 * h * d)?];
        let [out, d_out]: [_; 2] = [buffer("out", h * d)?, buffer("d_out", h * d)?];
        let [lse, delta]: [_; 2] = [buffer("lse", h)?, buffer("delta", h)?];
        let forward = AttentionForward { qkv: qkv.clone(), out: out.clone(), lse: lse.clone() };
        forward.record(&mut plan, &shape)?;
        AttentionBackward { qkv, out, lse, d_out, delta, d_qkv }.record(&mut plan, &shape)?;
    }
    let general = GeneralShape {
        samples: 4,
        queries: 256,
        keys: 256,
        heads: 8,
        key_heads: Some(2),
        softcap: Some(30.0),
        keys_after: Some(0),
        ..Default::default()
    };
    for [width, value_width] in [[4, 4], [8, 8], [16, 16], [32, 32], [64, 64], [128, 128], [40, 256]] {
        record_general(&mut plan, &GeneralShape { width, value_width: Some(value_width), ..general })?;
    }
    // One query of a cache, of groups of 1, 2 and 4 heads.
    for (heads, width) in [(2, 64), (4, 128), (8, 64), (8, 128), (8, 256)] {
        record_general(&mut plan, &GeneralShape { queries: 1, keys: 4096, past: 4095, heads, width, ..general })?;
    }
    record_tokens(&mut plan, 12_288, 65, 384)?;
    record_tokens(&mut plan, 1024, 16_384, 768)?;
    each(&plan);
    Ok(())
}

/// Records the passes of general attention with a bias.
fn record_general(plan: &mut Plan, shape: &GeneralShape) -> Result<()> {
    let gpu = plan.gpu().clone();
    let buffer = |label: &str, elements: u64| Ok(gpu.buffer(label, elements)?.view());
    let [of_q, of_k, of_v, of_out] = shape.elements();
    let [q, d_q]: [View; 2] = [buffer("q", of_q)?, buffer("d_q", of_q)?];
    let [k, d_k] = [buffer("k", of_k)?, buffer("d_k", of_k)?];
    let [v, d_v] = [buffer("v", of_v)?, buffer("d_v", of_v)?];
    let [out, d_out] = [buffer("out", of_out)?, buffer("d_out", of_out)?];
    let [lse, statistics] = [buffer("lse", shape.rows())?, buffer("statistics", 2 * shape.rows())?];
    let (bias, key_counts) = (Some(buffer("bias", shape.bias_elements())?), None);
    let backward = GeneralBackward { q, k, v, bias, key_counts, out, lse, d_out, statistics, d_q, d_k, d_v };
    backward.forward().record(plan, shape)?;
    backward.record(plan, shape)
}

/// Records the kernels of `rows` rows of width `width` over a vocabulary of `tokens`.
fn record_tokens(plan: &mut Plan, rows: u32, tokens: u32, width: u32) -> Result<()> {
    let gpu = plan.gpu().clone();
    let columns = tokens.next_multiple_of(4);
    let buffer = |label: &str, width: u32| Ok(gpu.buffer(label, u64::from(rows * width))?.view());
    let [ids, weight, loss, entropy] =
        [buffer("ids", 1)?, buffer("weight", 1)?, buffer("loss", 1)?, buffer("entropy", 1)?];
    let [x, logits, statistics] = [buffer("x", width)?, buffer("logits", columns)?, buffer("statistics", 4)?];
    let [table, d_table] = ["table", "d_table"].map(|label| gpu.buffer(label, u64::from(tokens * width)));
    let [table, d_table] = [table?.view(), d_table?.view()];
    let index = gpu.buffer("index", u64::from(3 * rows + 2))?.view();
    let shape = TokenEmbedShape { rows: rows.into(), width, first_token: 0, tokens, positions: None };
    TokenEmbed { tokens: ids.clone(), table, position: None, x: x.clone() }.record(plan, &shape)?;
    let shape = CrossEntropyShape { rows: rows.into(), first_token: 0, columns, tokens, first_row: 0 };
    CrossEntropyStatistics { logits: logits.clone(), targets: ids.clone(), statistics: statistics.clone() }
        .record(plan, &shape)?;
    CrossEntropyGradient { logits, targets: ids, weight, statistics, loss, entropy }.record(plan, &shape)?;
    TokenGradient { d_x: x, index, d_table }.record(plan, &TokenGradientShape { rows, width, first_token: 0, tokens })
}

/// Returns the selections of `gpu` for the plans of [`record_suite`], one per kernel and class of shapes. Nothing is
/// compiled or computed, and `gpu` need not exist.
///
/// # Errors
/// As [`Gpu::planning`] and [`record_suite`].
pub fn selections(gpu: &Gpu) -> Result<Vec<VariantSelection>> {
    let gpu = gpu.planning_twin()?.with_selection_log();
    record_suite(&gpu, |_| ())?;
    let mut found: Vec<VariantSelection> = Vec::new();
    for selection in gpu.selections() {
        if !found.iter().any(|other| other.kernel == selection.kernel && other.class == selection.class) {
            found.push(selection);
        }
    }
    found.sort_by_key(|selection| selection.kernel);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuFigures;

    #[test]
    fn gpus_with_and_without_fixed_subgroups_take_the_variants_that_they_can_run() {
        for figures in GpuFigures::ALL {
            let all = selections(&Gpu::planning(figures).unwrap()).unwrap();
            let of = |kernel: &str| all.iter().filter(|selection| selection.kernel == kernel).collect::<Vec<_>>();
            assert!(of("linear_product").len() > 5, "{}", figures.key);
            for selection in of("norm_forward") {
                assert_eq!(selection.taken, "rows1", "{}", figures.key);
                assert_eq!(selection.reason, "subgroups of at least 4 lanes");
            }
            let with_dropout = all.iter().filter(|selection| selection.class.ends_with("dropout"));
            let taken: Vec<_> = with_dropout.map(|selection| (selection.kernel, selection.taken)).collect();
            assert!(taken.len() > 5 && taken.iter().all(|(_, name)| !name.starts_with("scalar")), "{taken:?}");
        }
    }
}
