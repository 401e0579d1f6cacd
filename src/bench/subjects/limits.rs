//! Limits of an adapter, measured by dedicated probe kernels.

use std::time::Instant;

use crate::arena::{BenchRow, FIRST_STEPS, Limits, OperationCost, calibrated_steps, probe_lanes};
use crate::bench::gate::{near, words};
use crate::bench::key::RowKey;
use crate::bench::session::Bench;
use crate::bench::shape::BenchShape;
use crate::error::Result;
use crate::gpu::{Clock, Cost, Gpu, Plan, Timing};
use crate::kernels::Strategy;
use crate::kernels::device::probe::{
    ChainShape, LOADS, LoadKind, LoadShape, ProbeCopy, ProbeLoad, ProbeMultiplyAdd, ProbeShuffle, SHUFFLES,
    ShuffleShape, chain_reference, load_inputs, load_reference, shuffle_reference,
};
use crate::kernels::{Comparison, Expected, RandomInputs};

/// Measures the limits of the adapter for `session`, with the costs of loads if `loads`. Returns their rows.
pub(crate) fn measure(session: &mut Bench<'_>, loads: bool) -> Result<Vec<BenchRow>> {
    session.limits = measure_all(session, loads)?;
    let mut rows = session.take_rows();
    // The rows were created before the limits were known.
    for row in &mut rows {
        let share = |rate: Option<f64>, peak: f64| rate.filter(|_| peak > 0.0).map(|rate| 100.0 * rate / peak);
        row.percent_of_peak = match row.kernel.as_str() {
            "probe_multiply_add" => share(row.gflops, session.limits.gflops),
            "probe_copy" => share(row.gbytes_per_s, session.limits.gbytes_per_s),
            _ => None,
        };
    }
    Ok(rows)
}

/// Adds the rows of the limits to the report, with notes.
pub(super) fn report(session: &mut Bench<'_>, rows: &[BenchRow]) {
    rows.iter().for_each(|row| session.push(row.clone()));
    let notes =
        [session.limits.to_string(), costs_note(session.gpu), texels_note(&session.limits, session.gpu.reads_texels())];
    session.notes.extend(notes);
}

fn measure_all(session: &mut Bench<'_>, loads: bool) -> Result<Limits> {
    let mut limits = Limits::default();
    let lanes = probe_lanes(session.gpu);
    let mut costs = Vec::new();
    for chains in [2, 4, 8] {
        let shape = ChainShape { lanes, steps: 1, chains };
        let probe = |session: &mut Bench<'_>, steps| multiply_add(session, ChainShape { steps, ..shape });
        costs.extend(calibrated(session, "multiply-add", shape.cost().flops / 2.0, probe)?);
    }
    let fastest = costs.into_iter().max_by(|a, b| a.g_per_s.total_cmp(&b.g_per_s));
    limits.gflops = fastest.as_ref().map_or(0.0, |cost| 2.0 * cost.g_per_s);
    limits.operations.extend(fastest);
    copy(session, &mut limits)?;
    if let Some(subgroup) = Strategy::lanes(session.gpu) {
        let probe = |session: &mut Bench<'_>, steps| shuffle(session, ShuffleShape { lanes, steps, subgroup });
        let cost = calibrated(session, "shuffle", f64::from(lanes) * f64::from(SHUFFLES), probe)?;
        limits.gshuffles_per_s = cost.as_ref().map(|cost| cost.g_per_s);
        limits.operations.extend(cost);
    }
    let kinds = LoadKind::ALL.into_iter().filter(|_| loads);
    for kind in kinds.filter(|kind| *kind != LoadKind::TexelVec4 || session.gpu.reads_texels()) {
        let probe = |session: &mut Bench<'_>, steps| load(session, LoadShape { lanes, steps, kind });
        limits.operations.extend(calibrated(session, kind.name(), f64::from(lanes) * f64::from(LOADS), probe)?);
    }
    launches(session, &mut limits)?;
    Ok(limits)
}

/// Explanation of the costs in the rows of single operations.
fn costs_note(gpu: &Gpu) -> String {
    match gpu.subgroup_size().filter(|_| gpu.is_software()) {
        Some(lanes) => format!("ns: time of one core for an operation of a whole subgroup of {lanes} lanes"),
        None => "G/s: 10⁹ operations a second, counted for each lane".into(),
    }
}

/// Memory from which the kernels read vec4s, with the reason.
fn texels_note(limits: &Limits, reads_texels: bool) -> String {
    let cost = |kind: LoadKind| limits.operations.iter().find(|cost| cost.operation == kind.name());
    if !reads_texels {
        return "kernels read vec4s from storage buffers here: texels of the same memory need Mesa's software driver"
            .into();
    }
    match (cost(LoadKind::TexelVec4), cost(LoadKind::StorageVec4)) {
        (Some(texel), Some(storage)) => {
            let though = if texel.g_per_s < storage.g_per_s { ", although they are slower" } else { "" };
            format!("kernels read vec4s as texels here{though}: {texel} against {storage} from storage buffers")
        }
        _ => "kernels read vec4s as texels here".into(),
    }
}

/// Cost of `operation`, given that `count` operations took `ms` milliseconds.
fn operation_cost(gpu: &Gpu, operation: &str, count: f64, ms: f64) -> OperationCost {
    let g_per_s = count / ms / 1e6;
    // Mesa's software driver uses all cores that are available to the process.
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let subgroup = gpu.subgroup_size().filter(|_| gpu.is_software());
    let core_ns = subgroup.map(|subgroup| cores * f64::from(subgroup) / g_per_s);
    OperationCost { operation: operation.into(), g_per_s, core_ns }
}

/// Measures a probe of `operation` with few steps of `per_step` operations each, then with as many steps as fill the
/// target time. The row of the second measurement is kept, with the first-use time of the first.
fn calibrated(
    session: &mut Bench<'_>,
    operation: &str,
    per_step: f64,
    mut probe: impl FnMut(&mut Bench<'_>, u32) -> Result<()>,
) -> Result<Option<OperationCost>> {
    probe(session, FIRST_STEPS)?;
    let Some(first) = session.take_row() else { return Ok(None) };
    let Some(ms) = first.median_ms else {
        session.push(first);
        return Ok(None);
    };
    let steps = calibrated_steps(ms);
    probe(session, steps)?;
    let Some(mut row) = session.take_row() else { return Ok(None) };
    row.first_use_ms = first.first_use_ms;
    let cost = row.median_ms.map(|ms| operation_cost(session.gpu, operation, per_step * f64::from(steps), ms));
    if let Some(cost) = &cost {
        row.launched += &format!(": {cost}");
    }
    session.push(row);
    Ok(cost)
}

fn multiply_add(session: &mut Bench<'_>, shape: ChainShape) -> Result<()> {
    let y = session.output("y", shape.lanes.into())?;
    let title = RowKey::new("probe_multiply_add", format!("{} chains", shape.chains), &BenchShape(vec![shape.lanes]));
    session.measure(
        title,
        None,
        |plan| ProbeMultiplyAdd { y: y.view() }.record(plan, &shape),
        |gpu| {
            let got = words(gpu, &y, 64)?;
            let expected = chain_reference(&ChainShape { lanes: 64, ..shape });
            // Each of thousands of iterations rounds, but errors decay within about a thousand iterations.
            Ok(vec![near("y", &got, expected, 2e-4)])
        },
    )
}

fn copy(session: &mut Bench<'_>, limits: &mut Limits) -> Result<()> {
    // Larger than the caches.
    let wanted: u64 = if session.gpu.is_software() { 64 << 20 } else { 512 << 20 };
    let bytes =
        wanted.min(session.gpu.limits().max_storage_buffer_binding_size).min(session.gpu.limits().max_buffer_size);
    let vectors = (bytes / 16) as u32;
    let (values, x) = session.input("x", 4 * u64::from(vectors), 1.0)?;
    let y = session.output("y", 4 * u64::from(vectors))?;
    session.measure(
        RowKey::new("probe_copy", "", &BenchShape(vec![vectors])),
        None,
        |plan| ProbeCopy { x: x.view(), y: y.view() }.record(plan, vectors),
        |gpu| {
            let got = words(gpu, &y, 4 * u64::from(vectors))?;
            let expected = values.iter().map(|v| v.to_bits()).collect();
            Ok(vec![Comparison::new("y", &got, &Expected::Exactly(expected))])
        },
    )?;
    let row = session.take_row();
    limits.gbytes_per_s = row.as_ref().and_then(|row| row.gbytes_per_s).unwrap_or(0.0);
    row.into_iter().for_each(|row| session.push(row));
    Ok(())
}

fn shuffle(session: &mut Bench<'_>, shape: ShuffleShape) -> Result<()> {
    let y = session.output("y", shape.lanes.into())?;
    session.measure(
        RowKey::new("probe_shuffle", format!("{} lanes", shape.subgroup), &BenchShape(vec![shape.lanes])),
        None,
        |plan| ProbeShuffle { y: y.view() }.record(plan, &shape),
        |gpu| {
            let lanes = 4 * shape.subgroup;
            let got = words(gpu, &y, lanes.into())?;
            Ok(vec![Comparison::new(
                "y",
                &got,
                &Expected::Exactly(shuffle_reference(&ShuffleShape { lanes, ..shape })),
            )])
        },
    )
}

fn load(session: &mut Bench<'_>, shape: LoadShape) -> Result<()> {
    let values = load_inputs(&mut RandomInputs::new(session.seed));
    let (x, constants) =
        (session.gpu.upload("bench.x", &values)?, session.gpu.upload_uniform("bench.constants", &values)?);
    let y = session.output("y", shape.lanes.into())?;
    session.measure(
        RowKey::new("probe_load", shape.kind.name(), &BenchShape(vec![shape.lanes])),
        None,
        |plan| ProbeLoad { x: x.view(), constants: constants.view(), y: y.view() }.record(plan, &shape),
        |gpu| {
            let got = words(gpu, &y, shape.lanes.into())?;
            Ok(vec![near("y", &got, load_reference(&values, &shape), 1e-6)])
        },
    )
}

/// Number of launches of the plan that measures the cost of one more launch.
const LAUNCHES: u32 = 512;

/// Measures empty launches: one more in a pass, one more for the host to replay, and one in a separate submission.
fn launches(session: &mut Bench<'_>, limits: &mut Limits) -> Result<()> {
    let gpu = session.gpu;
    let (x, y) = (gpu.buffer("bench.x", 4)?, gpu.buffer("bench.y", 4)?);
    let plan_of = |launches: u32| {
        let mut plan = Plan::new(gpu);
        (0..launches).try_for_each(|_| ProbeCopy { x: x.view(), y: y.view() }.record(&mut plan, 0)).map(|()| plan)
    };
    let (one, many) = (plan_of(1)?, plan_of(1 + LAUNCHES)?);
    let title = |kernel, variant: &str| RowKey::new(kernel, variant, &BenchShape(vec![LAUNCHES]));

    let launch = title("launch", "empty, in one pass");
    session.tell(&launch);
    let (short, long) = (one.timing(session.profile)?, many.timing(session.profile)?);
    let each = |ms: &f64| (ms - short.median()).max(0.0) / f64::from(LAUNCHES);
    let timing = Timing::new(long.milliseconds.iter().map(each).collect(), long.clock)?;
    limits.launch_us = 1e3 * timing.median();
    add(session, &launch, &timing);

    let host = title("launch", "host replay");
    let replay = |_| {
        let start = Instant::now();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        many.encode_pass(&mut encoder);
        drop(encoder.finish());
        start.elapsed().as_secs_f64() * 1e3 / f64::from(1 + LAUNCHES)
    };
    let timing = Timing::new((0..session.profile.runs).map(replay).collect(), Clock::Host)?;
    limits.host_launch_us = 1e3 * timing.median();
    add(session, &host, &timing);

    let submission = RowKey::new("submission", "submit and wait", &BenchShape(vec![1]));
    let timing = one.host_timing(session.profile)?;
    limits.submit_us = 1e3 * timing.median();
    add(session, &submission, &timing);
    Ok(())
}

fn add(session: &mut Bench<'_>, title: &RowKey, timing: &Timing) {
    let mut row = session.row(title, "probe_copy".into());
    session.fill(&mut row, timing, Cost::default());
    session.push(row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{BenchConfig, Subject};

    #[test]
    fn every_kind_of_load_has_a_row_with_its_cost() {
        let gpu = Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
        let config = BenchConfig { subjects: vec![Subject::Limits], runs: 1, warmup: 0, ..BenchConfig::default() };
        let report = crate::bench::run(&gpu, &config, &mut |_| ()).unwrap();
        let loads: Vec<_> = report.rows.iter().filter(|row| row.kernel == "probe_load").collect();
        assert_eq!(loads.len(), if gpu.reads_texels() { 4 } else { 3 });
        for row in loads {
            let cost = report.limits.operations.iter().find(|cost| cost.operation == row.variant);
            let is_there = |cost: &OperationCost| cost.g_per_s > 0.0 && row.launched.ends_with(&format!(": {cost}"));
            assert!(cost.is_some_and(is_there), "{row:?}");
        }
        assert!(report.notes.last().is_some_and(|note| note.starts_with("kernels read vec4s")), "{:?}", report.notes);
    }

    #[test]
    fn the_note_on_texels_names_the_costs_of_both() {
        let cost =
            |kind: LoadKind, g_per_s: f64, core_ns| OperationCost { operation: kind.name().into(), g_per_s, core_ns };
        let note = |texel, storage| {
            let operations = vec![cost(LoadKind::StorageVec4, 2.0, storage), cost(LoadKind::TexelVec4, 4.0, texel)];
            texels_note(&Limits { operations, ..Limits::default() }, true)
        };
        let faster = "kernels read vec4s as texels here: 16.4 ns against 34.6 ns from storage buffers";
        assert_eq!(note(Some(16.4), Some(34.6)), faster);
        assert!(note(None, None).ends_with("4.00 G/s against 2.00 G/s from storage buffers"));
        assert!(texels_note(&Limits::default(), false).contains("from storage buffers"));
    }
}
