//! Ketformer: the calls are recorded once into a plan, which each run replays in one submission.

use ketformer::gpu::{Buffer, Gpu, Plan};
use ketformer::kernels::attention::{AttentionBackward, AttentionForward, AttentionShape};
use ketformer::kernels::linear::{
    Extra, GradientInto, GradientShape, GradientSums, LinearGradient, LinearProduct, LinearShape,
};

use crate::engine::{Form, Result};
use crate::work::{Heads, Inputs, Layer, Work};

/// Function that records one call.
type Record = Box<dyn Fn(&mut Plan) -> ketformer::Result<()>>;

/// Recorded calls and their buffers.
pub struct Ours {
    gpu: Gpu,
    record: Record,
    plan: Plan,
    calls: usize,
    outputs: Vec<(Buffer, usize)>,
}

/// Creates an output whose elements are NaN until a kernel writes them.
fn poisoned(gpu: &Gpu, label: &str, elements: usize) -> ketformer::Result<Buffer> {
    gpu.upload(label, &vec![f32::NAN; elements])
}

impl Ours {
    /// Creates the buffers of a benchmark and records one call of it.
    pub fn new(gpu: &Gpu, work: &Work, inputs: &Inputs) -> Result<Self> {
        let (record, outputs) = match work {
            Work::Attention(shape) => attention(gpu, shape, inputs, false)?,
            Work::AttentionGradient(shape) => attention(gpu, shape, inputs, true)?,
            Work::Product(s) => {
                let shape = LinearShape::forward(s.rows as u32, s.inner as u32, s.columns as u32);
                product(gpu, shape, &inputs.x, &inputs.weight, s.rows * s.columns)?
            }
            Work::InputGradient(s) => {
                let shape = LinearShape::backward(s.rows as u32, s.columns as u32, s.inner as u32);
                product(gpu, shape, &inputs.d_y, &inputs.weight, s.rows * s.inner)?
            }
            Work::WeightGradient(shape) => weight_gradient(gpu, shape, inputs)?,
        };
        let mut plan = Plan::new(gpu);
        record(&mut plan)?;
        Ok(Self { gpu: gpu.clone(), record, plan, calls: 1, outputs })
    }
}

impl Form for Ours {
    fn name(&self) -> String {
        self.plan.kernels().join(" ")
    }

    fn run(&mut self, calls: usize) -> Result<()> {
        if calls != self.calls {
            let mut plan = Plan::new(&self.gpu);
            (0..calls).try_for_each(|_| (self.record)(&mut plan))?;
            (self.plan, self.calls) = (plan, calls);
        }
        Ok(self.plan.run()?)
    }

    fn read(&mut self) -> Result<Vec<Vec<f32>>> {
        self.outputs.iter().map(|(buffer, elements)| Ok(buffer.view().read(&self.gpu, *elements)?)).collect()
    }
}

fn attention(gpu: &Gpu, s: &Heads, inputs: &Inputs, gradient: bool) -> Result<(Record, Vec<(Buffer, usize)>)> {
    let shape = AttentionShape { b: (s.b as u32).into(), t: s.t as u32, h: s.h as u32, d: s.d as u32, causal: true, ..Default::default() };
    let (rows, width) = (s.b * s.t, s.h * s.d);
    let qkv = gpu.upload("peers.qkv", &inputs.x)?;
    let out = poisoned(gpu, "peers.out", rows * width)?;
    let lse = poisoned(gpu, "peers.lse", rows * s.h)?;
    let forward = AttentionForward { qkv: qkv.view(), out: out.view(), lse: lse.view() };
    if !gradient {
        let record: Record = Box::new(move |plan| forward.record(plan, &shape));
        return Ok((record, vec![(out, rows * width)]));
    }
    let d_out = gpu.upload("peers.d_out", &vec![1f32; rows * width])?;
    let delta = poisoned(gpu, "peers.delta", rows * s.h)?;
    let d_qkv = poisoned(gpu, "peers.d_qkv", rows * 3 * width)?;
    let backward = AttentionBackward {
        qkv: qkv.view(),
        out: out.view(),
        lse: lse.view(),
        d_out: d_out.view(),
        delta: delta.view(),
        d_qkv: d_qkv.view(),
    };
    let record: Record = Box::new(move |plan| {
        forward.record(plan, &shape)?;
        backward.record(plan, &shape)
    });
    Ok((record, vec![(out, rows * width), (d_qkv, rows * 3 * width)]))
}

fn product(
    gpu: &Gpu,
    shape: LinearShape,
    x: &[f32],
    weight: &[f32],
    elements: usize,
) -> Result<(Record, Vec<(Buffer, usize)>)> {
    let (x, weight) = (gpu.upload("peers.x", x)?, gpu.upload("peers.weight", weight)?);
    let y = poisoned(gpu, "peers.y", elements)?;
    let kernel = LinearProduct { x: x.view(), weight: weight.view(), bias: None, extra: Extra::None, y: y.view() };
    let record: Record = Box::new(move |plan| kernel.record(plan, &shape));
    Ok((record, vec![(y, elements)]))
}

fn weight_gradient(gpu: &Gpu, s: &Layer, inputs: &Inputs) -> Result<(Record, Vec<(Buffer, usize)>)> {
    let shape =
        GradientShape { rows: (s.rows as u32).into(), inputs: s.inner as u32, outputs: s.columns as u32 };
    let (x, d_y) = (gpu.upload("peers.x", &inputs.x)?, gpu.upload("peers.d_y", &inputs.d_y)?);
    let part = gpu.buffer("peers.part", shape.part_elements(gpu))?;
    let d_weight = poisoned(gpu, "peers.d_weight", s.columns * s.inner)?;
    let d_bias = poisoned(gpu, "peers.d_bias", s.columns)?;
    let kernel = LinearGradient {
        x: x.view(),
        d_y: d_y.view(),
        d_weight: d_weight.view(),
        d_bias: Some(d_bias.view()),
    };
    let record: Record = Box::new(move |plan| {
        let sums = GradientSums::new(part.view(), GradientInto::REPLACE);
        kernel.record(plan, &shape, &sums)?;
        sums.finish(plan)
    });
    Ok((record, vec![(d_weight, s.columns * s.inner), (d_bias, s.columns)]))
}
