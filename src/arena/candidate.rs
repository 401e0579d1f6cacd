//! Candidates of a benchmark: kernels of this crate, of a file, or of an application, with the buffers that they run in.

use std::rc::Rc;

use super::contract::{Bound, ForeignKernel, ForeignLaunch, Rejection, TURNS, Tensor};
use super::problem::{AttentionProblem, Mask, Pass};
use super::row::Status;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Bind, Buffer, Cost, DType, Gpu, Groups, Launch, Plan, View};
use crate::kernels::POISON;
use crate::kernels::attention::general::{GeneralBackward, GeneralForward, GeneralShape, Layout, Strides};
use crate::kernels::attention::inputs::{AttentionDraw, AttentionModified, DrawnTensor};
use crate::kernels::attention::{AttentionBackward, AttentionForward, AttentionShape};
use crate::kernels::device::words::{CountWords, FillWords};

/// Buffers of a candidate that records its own launches: contiguous (B, H, S, D) and (B, HK, SK, D), `lse` (B, H, S).
#[derive(Debug, Clone)]
pub struct AttentionBuffers {
    /// Queries.
    pub q: View,
    /// Keys.
    pub k: View,
    /// Values.
    pub v: View,
    /// Output, to be written.
    pub o: View,
    /// Gradient of the output, for [`Pass::ForwardBackward`].
    pub d_o: Option<View>,
    /// Gradients of q, k and v, to be written, for [`Pass::ForwardBackward`].
    pub gradients: Option<[View; 3]>,
}

/// Function that records the launches of a candidate.
pub type RecordAttention = Rc<dyn Fn(&mut Plan, &AttentionBuffers, &AttentionProblem) -> Result<()>>;

/// Candidate of a benchmark.
#[derive(Clone)]
pub enum Candidate {
    /// Kernels of this crate for rows [q | k | v] of one sequence, the output of a linear layer: f32, as many heads of
    /// keys as of queries, heads up to 128 wide. [`AttentionForward`], [`AttentionBackward`].
    Packed,
    /// Kernels of this crate for separate queries, keys and values. [`GeneralForward`], [`GeneralBackward`].
    General,
    /// A WGSL file, see [`super::contract`].
    Foreign(ForeignKernel),
    /// Launches of an application.
    Custom {
        /// Name in rows.
        name: String,
        /// Records the launches of a problem.
        record: RecordAttention,
    },
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Candidate({})", self.name())
    }
}

impl Candidate {
    /// Name in rows.
    pub fn name(&self) -> &str {
        match self {
            Self::Packed => "ketformer rows",
            Self::General => "ketformer",
            Self::Foreign(kernel) => &kernel.name,
            Self::Custom { name, .. } => name,
        }
    }

    /// Whether the candidate can run a problem by what it is for; of files only an attempt shows it.
    pub fn supports(&self, problem: &AttentionProblem) -> bool {
        match self {
            Self::Packed => {
                let has_positions = problem.queries == problem.keys || is_last(problem);
                let is_packed = problem.heads == problem.key_heads && has_positions;
                is_packed && problem.dtype == DType::F32 && problem.width <= 128
            }
            Self::General => problem.width <= GeneralShape::MOST_WIDTH,
            _ => true,
        }
    }

    /// Kernels of this crate that support a problem.
    pub fn ours(problem: &AttentionProblem) -> Vec<Self> {
        [Self::Packed, Self::General].into_iter().filter(|candidate| candidate.supports(problem)).collect()
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed)
    }

    /// What records a run of a problem; the text of a file is parsed here, once for all runs.
    pub(super) fn launches(&self, problem: &AttentionProblem) -> std::result::Result<Launches<'_>, Rejection> {
        Ok(match self {
            Self::Packed => Launches::Packed,
            Self::General => Launches::General,
            Self::Foreign(kernel) => Launches::Foreign(kernel.launches(problem)?),
            Self::Custom { record, .. } => Launches::Custom(record),
        })
    }
}

/// What records the runs of a candidate.
pub(super) enum Launches<'a> {
    Packed,
    General,
    Foreign(Vec<ForeignLaunch>),
    Custom(&'a RecordAttention),
}

/// Whether the problem is the output of the last position of each sample, one step of decoding.
fn is_last(problem: &AttentionProblem) -> bool {
    problem.is_decode() && problem.pass == Pass::Forward
}

/// A tensor in a buffer.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub view: View,
    pub strides: Strides,
    pub width: u32,
}

impl Placed {
    /// Elements of a row.
    pub(super) fn row(&self, [sample, position, head]: [u32; 3]) -> std::ops::Range<u64> {
        let at = self.strides.at(sample, position, head) as u64;
        at..at + u64::from(self.width)
    }
}

/// Inputs of a problem in one layout.
pub(super) struct Inputs {
    tensors: Vec<(&'static str, DrawnTensor, Placed)>,
    _buffers: Vec<Buffer>,
}

impl Inputs {
    pub(super) fn new(gpu: &Gpu, problem: &AttentionProblem, packed: bool) -> Result<Self> {
        let [of_q, of_k] = problem.elements();
        let has_gradients = problem.pass == Pass::ForwardBackward;
        let mut buffers = Vec::new();
        let mut create = |name: &str, elements| -> Result<View> {
            buffers.push(gpu.buffer_of(&format!("arena.{name}"), elements, problem.dtype)?);
            Ok(buffers[buffers.len() - 1].view())
        };
        let mut tensors = Vec::new();
        if packed {
            let qkv = create("qkv", 3 * of_k)?;
            let names = [("q", DrawnTensor::Q), ("k", DrawnTensor::K), ("v", DrawnTensor::V)];
            for (third, (name, tensor)) in (0..).zip(names) {
                tensors.push((name, tensor, packed_third(problem, &qkv, third)));
            }
            if has_gradients {
                tensors.push(("d_o", DrawnTensor::DOut, rows(problem, create("d_o", of_q)?)));
            }
        } else {
            let all = [
                ("q", DrawnTensor::Q, of_q),
                ("k", DrawnTensor::K, of_k),
                ("v", DrawnTensor::V, of_k),
                ("d_o", DrawnTensor::DOut, of_q),
            ];
            for (name, tensor, elements) in all.into_iter().take(if has_gradients { 4 } else { 3 }) {
                let of_queries = matches!(tensor, DrawnTensor::Q | DrawnTensor::DOut);
                tensors.push((name, tensor, heads_first(problem, create(name, elements)?, of_queries)));
            }
        }
        Ok(Self { tensors, _buffers: buffers })
    }

    fn view(&self, tensor: DrawnTensor) -> Option<View> {
        self.tensors.iter().find(|(_, own, _)| *own == tensor).map(|(.., placed)| placed.view.clone())
    }

    /// Records the kernels that draw the inputs for `seed`.
    pub(super) fn draw(&self, gpu: &Gpu, problem: &AttentionProblem, seed: u64) -> Result<Plan> {
        let mut plan = Plan::new(gpu);
        for (_, tensor, Placed { view, strides, .. }) in &self.tensors {
            AttentionDraw { x: view.clone() }.record(&mut plan, &problem.inputs(seed), *tensor, strides)?;
        }
        Ok(plan)
    }

    /// Records the counts of modified elements of each input.
    pub(super) fn count_modified(
        &self,
        plan: &mut Plan,
        problem: &AttentionProblem,
        seed: u64,
        mut counts: impl FnMut(&str) -> Result<View>,
    ) -> Result<()> {
        for (name, tensor, Placed { view, strides, .. }) in &self.tensors {
            let modified = AttentionModified { x: view.clone(), counts: counts(name)? };
            modified.record(plan, &problem.inputs(seed), *tensor, strides)?;
        }
        Ok(())
    }
}

/// Layout (B, H, S, D) of queries, or (B, HK, SK, D) of keys.
fn heads_first(problem: &AttentionProblem, view: View, of_queries: bool) -> Placed {
    let (positions, heads) =
        if of_queries { (problem.queries, problem.heads) } else { (problem.keys, problem.key_heads) };
    Placed { view, strides: Layout::HeadFirst.strides(positions, heads, problem.width), width: problem.width }
}

/// Layout (B, S, H, D).
fn rows(problem: &AttentionProblem, view: View) -> Placed {
    let strides = Layout::BatchFirst.strides(problem.queries, problem.heads, problem.width);
    Placed { view, strides, width: problem.width }
}

/// A third of rows [q | k | v], (B, SK, 3, H, D). The queries are the last positions.
fn packed_third(problem: &AttentionProblem, view: &View, third: u32) -> Placed {
    let (width, row) = (problem.width, problem.heads * problem.width);
    let before = if third == 0 { problem.keys - problem.queries } else { 0 };
    let offset = (3 * before + third) * row;
    let strides = Strides { offset, sample: 3 * row * problem.keys, position: 3 * row, head: width };
    Placed { view: view.clone(), strides, width }
}

/// A buffer that a candidate writes.
struct Output {
    name: &'static str,
    buffer: Buffer,
    elements: u64,
}

/// Outputs and scratch of one run.
pub(super) struct OutputSet {
    pub o: Placed,
    pub lse: Option<Placed>,
    pub gradients: Option<[Placed; 3]>,
    outputs: Vec<Output>,
    /// Scratch keeps what a run leaves in it, as in an application.
    scratch: Vec<(String, Buffer)>,
    /// Launches of the candidate.
    pub run: Plan,
    poison: Plan,
}

impl OutputSet {
    /// Bytes of the outputs of a problem, for the number of sets.
    pub(super) fn bytes(problem: &AttentionProblem) -> u64 {
        let [of_q, of_k] = problem.elements();
        let elements = if problem.pass == Pass::Forward { of_q } else { 2 * of_q + 2 * of_k };
        elements * problem.dtype.bytes() + 4 * problem.query_rows()
    }

    /// Creates the buffers of a candidate and records its launches on `inputs`.
    pub(super) fn new(
        gpu: &Gpu,
        problem: &AttentionProblem,
        launches: &Launches<'_>,
        inputs: &Inputs,
    ) -> std::result::Result<Self, Rejection> {
        let mut set = match launches {
            Launches::Packed => Self::packed(gpu, problem, inputs).map_err(of_ours),
            Launches::General => Self::general(gpu, problem, inputs).map_err(of_ours),
            Launches::Foreign(launches) => Self::foreign(gpu, problem, launches, inputs).map_err(of_others),
            Launches::Custom(record) => Self::custom(gpu, problem, record, inputs).map_err(of_others),
        }?;
        let scratch: Vec<View> = set.scratch.iter().map(|(_, buffer)| buffer.view()).collect();
        let outputs: Vec<View> = set.outputs.iter().map(|output| output.buffer.view()).collect();
        let fill = |views: &[View]| {
            let mut plan = Plan::new(gpu);
            for view in views {
                FillWords { x: view.clone() }.record(&mut plan, (view.bytes() / 16) as u32, POISON)?;
            }
            Ok(plan)
        };
        fill(&scratch).map_err(of_others)?.submit();
        set.poison = fill(&outputs).map_err(of_others)?;
        Ok(set)
    }

    /// Fills all outputs with NaN, before any later submission.
    pub(super) fn poison(&self) {
        self.poison.submit();
    }

    /// Records the counts of unwritten elements of each output, and of words that differ from those of `other`.
    pub(super) fn count(
        &self,
        plan: &mut Plan,
        other: &Self,
        mut counts: impl FnMut(&'static str) -> Result<View>,
    ) -> Result<()> {
        for (own, other) in self.outputs.iter().zip(&other.outputs) {
            let words = CountWords { a: own.buffer.view(), b: other.buffer.view(), counts: counts(own.name)? };
            words.record(plan, own.elements as u32, POISON)?;
        }
        Ok(())
    }

    fn packed(gpu: &Gpu, problem: &AttentionProblem, inputs: &Inputs) -> Result<Self> {
        let mut made = Made::new(gpu, problem);
        let [of_q, _] = problem.elements();
        let (out, lse) = (made.output("o", of_q, DType::F32)?, made.output("lse", problem.query_rows(), DType::F32)?);
        let shape = AttentionShape {
            b: problem.samples.into(),
            t: problem.keys,
            h: problem.heads,
            d: problem.width,
            causal: problem.mask == Mask::Causal && !is_last(problem),
            query_positions: is_last(problem).then(|| problem.keys - 1..problem.keys),
            ..Default::default()
        };
        let mut run = Plan::new(gpu);
        let qkv = inputs.view(DrawnTensor::Q).ok_or_else(missing)?;
        AttentionForward { qkv: qkv.clone(), out: out.clone(), lse: lse.clone() }.record(&mut run, &shape)?;
        let mut gradients = None;
        if let Some(d_out) = inputs.view(DrawnTensor::DOut) {
            let (delta, d_qkv) =
                (made.scratch("delta", problem.query_rows())?, made.output("d_qkv", 3 * of_q, DType::F32)?);
            gradients = Some([0, 1, 2].map(|third| packed_third(problem, &d_qkv, third)));
            AttentionBackward { qkv, out: out.clone(), lse: lse.clone(), d_out, delta, d_qkv }
                .record(&mut run, &shape)?;
        }
        let lse_strides =
            Strides { offset: 0, sample: problem.queries * problem.heads, position: problem.heads, head: 1 };
        let lse = Some(Placed { view: lse, strides: lse_strides, width: 1 });
        Ok(made.set(rows(problem, out), lse, gradients, run))
    }

    fn general(gpu: &Gpu, problem: &AttentionProblem, inputs: &Inputs) -> Result<Self> {
        let mut made = Made::new(gpu, problem);
        let [of_q, of_k] = problem.elements();
        let out = made.output("o", of_q, problem.dtype)?;
        let lse = made.output("lse", problem.query_rows(), DType::F32)?;
        let shape = GeneralShape {
            samples: problem.samples,
            queries: problem.queries,
            keys: problem.keys,
            heads: problem.heads,
            key_heads: Some(problem.key_heads),
            width: problem.width,
            layouts: Layout::HeadFirst.into(),
            keys_after: (problem.mask == Mask::Causal).then_some(0),
            past: problem.keys - problem.queries,
            ..Default::default()
        };
        let view = |tensor| inputs.view(tensor).ok_or_else(missing);
        let (q, k, v) = (view(DrawnTensor::Q)?, view(DrawnTensor::K)?, view(DrawnTensor::V)?);
        let (bias, key_counts) = (None, None);
        let forward = GeneralForward { q, k, v, bias, key_counts, out: out.clone(), lse: lse.clone() };
        let mut run = Plan::new(gpu);
        forward.record(&mut run, &shape)?;
        let mut gradients = None;
        if let Some(d_out) = inputs.view(DrawnTensor::DOut) {
            let statistics = made.scratch("statistics", 2 * problem.query_rows())?;
            let d_q = made.output("d_q", of_q, problem.dtype)?;
            let (d_k, d_v) = (made.output("d_k", of_k, problem.dtype)?, made.output("d_v", of_k, problem.dtype)?);
            gradients = Some(made.gradients([&d_q, &d_k, &d_v]));
            let GeneralForward { q, k, v, bias, key_counts, out, lse } = forward;
            GeneralBackward { q, k, v, bias, key_counts, out, lse, d_out, statistics, d_q, d_k, d_v }
                .record(&mut run, &shape)?;
        }
        let lse = Some(made.lse(lse));
        Ok(made.set(heads_first(problem, out, true), lse, gradients, run))
    }

    fn foreign(gpu: &Gpu, problem: &AttentionProblem, launches: &[ForeignLaunch], inputs: &Inputs) -> Result<Self> {
        let mut made = Made::new(gpu, problem);
        let mut views: Vec<(&str, Bound, View)> = Vec::new();
        for (name, bound) in launches.iter().flat_map(|launch| &launch.bindings) {
            if found(&views, name, *bound).is_some() {
                continue;
            }
            let input = |tensor| inputs.view(tensor).ok_or_else(missing);
            let view = match bound {
                Bound::Scratch(words) => made.scratch(name, *words),
                Bound::Tensor(Tensor::Q) => input(DrawnTensor::Q),
                Bound::Tensor(Tensor::K) => input(DrawnTensor::K),
                Bound::Tensor(Tensor::V) => input(DrawnTensor::V),
                Bound::Tensor(Tensor::DO) => input(DrawnTensor::DOut),
                Bound::Tensor(tensor) => {
                    made.output(output_name(*tensor), tensor.elements(problem), tensor.dtype(problem))
                }
            };
            views.push((name, *bound, view?));
        }
        let mut run = Plan::new(gpu);
        for launch in launches {
            let bindings = launch.bindings.iter().filter_map(|(name, bound)| {
                let elements = match bound {
                    Bound::Tensor(tensor) => tensor.elements(problem),
                    Bound::Scratch(words) => *words,
                };
                Some(Bind { name, view: found(&views, name, *bound)?, elements })
            });
            let bindings: Vec<Bind<'_>> = bindings.collect();
            run.launch(&Launch {
                kernel: &launch.kernel,
                spec: &[],
                bindings: &bindings,
                params: &launch.params,
                groups: Groups::Grid(launch.grid),
                cost: Cost::default(),
                shape: problem.to_string(),
            })?;
        }
        let tensor = |tensor| found(&views, "", Bound::Tensor(tensor)).cloned();
        let out = tensor(Tensor::O).ok_or_else(missing)?;
        let lse = tensor(Tensor::Lse).map(|lse| made.lse(lse));
        let gradients = match problem.pass {
            Pass::Forward => None,
            Pass::ForwardBackward => {
                let [d_q, d_k, d_v] = [Tensor::DQ, Tensor::DK, Tensor::DV].map(tensor);
                d_q.zip(d_k).zip(d_v).map(|((d_q, d_k), d_v)| made.gradients([&d_q, &d_k, &d_v]))
            }
        };
        Ok(made.set(heads_first(problem, out, true), lse, gradients, run))
    }

    /// The buffers of a kernel of a file whose loops count their turns, and the view of the count.
    pub(super) fn counting(
        gpu: &Gpu,
        problem: &AttentionProblem,
        kernel: &ForeignKernel,
        inputs: &Inputs,
    ) -> std::result::Result<(Self, View), Rejection> {
        let set = Self::foreign(gpu, problem, &kernel.counting_launches(problem)?, inputs).map_err(of_others)?;
        let turns = set.scratch.iter().find(|(name, _)| name == TURNS).map(|(_, buffer)| buffer.view());
        turns.map(|turns| (set, turns)).ok_or_else(|| Rejection::new(Status::CompileError, "no loops"))
    }

    fn custom(gpu: &Gpu, problem: &AttentionProblem, record: &RecordAttention, inputs: &Inputs) -> Result<Self> {
        let mut made = Made::new(gpu, problem);
        let [of_q, of_k] = problem.elements();
        let o = made.output("o", of_q, problem.dtype)?;
        let mut gradients = None;
        if problem.pass == Pass::ForwardBackward {
            let d_q = made.output("d_q", of_q, problem.dtype)?;
            gradients = Some([d_q, made.output("d_k", of_k, problem.dtype)?, made.output("d_v", of_k, problem.dtype)?]);
        }
        let view = |tensor| inputs.view(tensor).ok_or_else(missing);
        let buffers = AttentionBuffers {
            q: view(DrawnTensor::Q)?,
            k: view(DrawnTensor::K)?,
            v: view(DrawnTensor::V)?,
            o: o.clone(),
            d_o: inputs.view(DrawnTensor::DOut),
            gradients: gradients.clone(),
        };
        let mut run = Plan::new(gpu);
        record(&mut run, &buffers, problem)?;
        let gradients = gradients.map(|[d_q, d_k, d_v]| made.gradients([&d_q, &d_k, &d_v]));
        Ok(made.set(heads_first(problem, o, true), None, gradients, run))
    }
}

/// The view of a binding among those that exist: a tensor is the same under every name, scratch under its own.
fn found<'a>(views: &'a [(&str, Bound, View)], name: &str, bound: Bound) -> Option<&'a View> {
    let is_same = |(known, own, _): &&(&str, Bound, View)| match bound {
        Bound::Tensor(_) => *own == bound,
        Bound::Scratch(_) => *known == name,
    };
    views.iter().find(is_same).map(|(.., view)| view)
}

fn output_name(tensor: Tensor) -> &'static str {
    match tensor {
        Tensor::Lse => "lse",
        Tensor::DQ => "d_q",
        Tensor::DK => "d_k",
        Tensor::DV => "d_v",
        _ => "o",
    }
}

fn missing() -> Error {
    Error::new(ErrorKind::Shape, "arena: the kernel reads a gradient of the output in a forward pass")
}

/// Why a kernel of this crate does not run: shapes beyond it are not its fault.
fn of_ours(error: Error) -> Rejection {
    let is_limit = matches!(error.kind(), ErrorKind::Shape | ErrorKind::Settings | ErrorKind::Adapter);
    Rejection::new(if is_limit { Status::Unsupported } else { Status::RuntimeError }, error.to_string())
}

/// Why a third-party kernel does not run.
pub(super) fn of_others(error: Error) -> Rejection {
    let status = match error.kind() {
        ErrorKind::Shader => Status::CompileError,
        ErrorKind::Adapter => Status::Unsupported,
        _ => Status::RuntimeError,
    };
    Rejection::new(status, error.to_string())
}

/// Buffers of a set that is being made.
struct Made<'a> {
    gpu: &'a Gpu,
    problem: &'a AttentionProblem,
    outputs: Vec<Output>,
    scratch: Vec<(String, Buffer)>,
}

impl<'a> Made<'a> {
    fn new(gpu: &'a Gpu, problem: &'a AttentionProblem) -> Self {
        Self { gpu, problem, outputs: Vec::new(), scratch: Vec::new() }
    }

    fn output(&mut self, name: &'static str, elements: u64, dtype: DType) -> Result<View> {
        let buffer = self.gpu.buffer_of(&format!("arena.{name}"), elements, dtype)?;
        let view = buffer.view();
        self.outputs.push(Output { name, buffer, elements });
        Ok(view)
    }

    fn scratch(&mut self, name: &str, words: u64) -> Result<View> {
        let buffer = self.gpu.buffer("arena.scratch", words)?;
        let view = buffer.view();
        self.scratch.push((name.into(), buffer));
        Ok(view)
    }

    fn lse(&self, view: View) -> Placed {
        let strides = Layout::HeadFirst.strides(self.problem.queries, self.problem.heads, 1);
        Placed { view, strides, width: 1 }
    }

    fn gradients(&self, [d_q, d_k, d_v]: [&View; 3]) -> [Placed; 3] {
        let of = |view: &View, of_queries| heads_first(self.problem, view.clone(), of_queries);
        [of(d_q, true), of(d_k, false), of(d_v, false)]
    }

    fn set(self, o: Placed, lse: Option<Placed>, gradients: Option<[Placed; 3]>, run: Plan) -> OutputSet {
        let poison = Plan::new(self.gpu);
        OutputSet { o, lse, gradients, outputs: self.outputs, scratch: self.scratch, run, poison }
    }
}
