//! Stages of a step of stochastic reconfiguration within frames: recorded in slices, and read back without waiting.

use super::reconfiguration::Reconfiguration;
use super::stages::{Next, Outcome, Stage, StageInputs};
use super::system::Solved;
use crate::error::Result;
use crate::gpu::{Download, Frame, Position, Staging};
use crate::host_threads::Background;
use crate::vmc::step::buffers::StepInputs;
use crate::vmc::step::local_energy::LocalEnergyPipeline;

/// Maximum number of words that a frame reads back, 4 MiB.
const PIECE: u64 = 1 << 20;

/// Staging buffers of the stages.
pub(crate) struct Transfers {
    upload: Staging,
    download: Download,
}

impl Transfers {
    /// Creates the buffers for the steps of `method`.
    ///
    /// # Errors
    /// As [`crate::gpu::Gpu::buffer`].
    pub(crate) fn new(method: &Reconfiguration, pipeline: &LocalEnergyPipeline) -> Result<Self> {
        let gpu = &pipeline.gpu;
        let [inputs, outputs] = method.transferred_words(pipeline)?;
        let upload = Staging::to_device(gpu, "ketformer.upload", inputs)?;
        Ok(Self { upload, download: Download::new(gpu, outputs.min(PIECE))? })
    }

    /// Encodes the inputs of a stage.
    fn encode(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        pipeline: &LocalEnergyPipeline,
        inputs: &StageInputs,
    ) -> Result<()> {
        for view in &inputs.zeros {
            encoder.clear_buffer(view.wgpu(), view.offset(), Some(view.bytes()));
        }
        if inputs.writes.is_empty() {
            return Ok(());
        }
        let words: Vec<&[u32]> = inputs.writes.iter().map(|(_, words)| &words[..]).collect();
        self.upload.write(&pipeline.gpu, &words)?;
        let mut at = 0;
        for (view, words) in &inputs.writes {
            self.upload.copy_to(encoder, at, words.len() as u64, view);
            at += words.len() as u64;
        }
        self.upload.map_on_submit(encoder);
        Ok(())
    }
}

/// Step of stochastic reconfiguration after its sampling and local energies, recorded in part.
pub(crate) enum StepInFrames {
    /// The next stage is recorded with the next frame in which its inputs can be written.
    Next(Stage),
    /// Plans of a stage are recorded, from launch `position` of plan `plan` on.
    Plans {
        stage: Stage,
        plan: usize,
        position: Position,
    },
    /// The outputs of a stage are read.
    Outputs(Stage),
    /// The host solves the linear system.
    Solution(Background<Result<Solved>>),
    Done(Outcome),
}

impl StepInFrames {
    /// First stage of a step.
    pub(crate) fn new(inputs: StepInputs) -> Self {
        Self::Next(Stage::first(inputs))
    }

    /// Records launches while `frame` has room, until the host continues. `first_key` is the key of the times of the first
    /// plan of `method`. Returns the step, and whether the host continues.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn record(
        mut self,
        frame: &mut Frame<'_>,
        transfers: &mut Transfers,
        (method, first_key): (&Reconfiguration, usize),
        pipeline: &LocalEnergyPipeline,
    ) -> Result<(Self, bool)> {
        loop {
            self = match self {
                Self::Next(stage) => {
                    let inputs = method.inputs(&stage)?;
                    if !transfers.upload.is_settled() {
                        return Ok((Self::Next(stage), true));
                    }
                    transfers.encode(frame.encoder, pipeline, &inputs)?;
                    Self::Plans { stage, plan: 0, position: Position::default() }
                }
                Self::Plans { stage, plan, mut position } => {
                    let (before, plans) = method.plans_of(&stage);
                    match plans.get(plan) {
                        Some(_) if !frame.has_room() => return Ok((Self::Plans { stage, plan, position }, false)),
                        Some(next) => match frame.encode(first_key + before + plan, next, &mut position) {
                            true => Self::Plans { stage, plan: plan + 1, position: Position::default() },
                            false => Self::Plans { stage, plan, position },
                        },
                        None => {
                            transfers.download.begin(method.outputs(pipeline, &stage)?);
                            Self::Outputs(stage)
                        }
                    }
                }
                Self::Outputs(stage) if transfers.download.is_empty() => {
                    Self::following(method.after(pipeline, stage, Vec::new()))
                }
                Self::Outputs(_) => {
                    transfers.download.encode(frame.encoder);
                    return Ok((self, true));
                }
                Self::Solution(_) | Self::Done(_) => return Ok((self, true)),
            };
        }
    }

    fn following(next: Next) -> Self {
        match next {
            Next::Stage(stage) => Self::Next(stage),
            Next::Solve(system) => Self::Solution(Background::start(|| system.solve())),
            Next::Done(outcome) => Self::Done(outcome),
        }
    }

    /// Continues on the host, if what it needs has arrived or been computed. With `waits`, waits for the solution.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost; [`crate::ErrorKind::Memory`] if this machine has too little
    /// memory.
    pub(crate) fn poll(
        self,
        transfers: &mut Transfers,
        method: &Reconfiguration,
        pipeline: &LocalEnergyPipeline,
        waits: bool,
    ) -> Result<Self> {
        match self {
            Self::Outputs(stage) => match transfers.download.poll()? {
                Some(words) => Ok(Self::following(method.after(pipeline, stage, words))),
                None => Ok(Self::Outputs(stage)),
            },
            Self::Solution(solution) => match solution.take(waits) {
                Ok(solved) => Ok(Self::following(solved?.next())),
                Err(solution) => Ok(Self::Solution(solution)),
            },
            waiting => Ok(waiting),
        }
    }
}
