//! Steps of a trainer, blocking ones and those within frames: what precedes and follows each of their plans.

use super::evaluation::{Evaluation, Loss};
use super::in_flight::{ArrivedItem, Begun, Item, STATE_WORDS};
use super::source::{StepBatches, WeightedBatch};
use super::trainer::GptTrainer;
use crate::error::Result;
use crate::gpt::network::DropoutKey;
use crate::gpt::{GptReport, RewardReport};
use crate::gpu::{Gpu, Plan, Position};
use crate::vmc::step::buffers::{INPUT_WORDS, StepInputs};

/// Maximum number of items in flight before the trainer waits for the oldest one.
const ITEMS_AHEAD: usize = 2;

impl GptTrainer {
    /// Whether another item can be submitted. Those that run in pieces are submitted one at a time.
    pub(super) fn has_room(&self) -> bool {
        self.ring.in_flight() < if self.replay.is_in_pieces() { 1 } else { ITEMS_AHEAD }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.replay.is_stopped()
    }

    /// Begins the next item: writes its inputs and encodes what precedes its first plan. Returns `None` if there is a
    /// [`Self::source_fault`].
    pub(super) fn begin(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<Option<Begun>> {
        let item = match self.validation {
            Some(index) => self.begin_validation(index)?,
            None => match self.begin_step()? {
                Some(item) => item,
                None => return Ok(None),
            },
        };
        let begun = Begun { item, complete: 0, position: Position::default() };
        self.open(encoder, &begun);
        Ok(Some(begun))
    }

    fn begin_validation(&mut self, index: u64) -> Result<Item> {
        let batch = self.source.validation(index);
        let words = self.pass.words(&batch, &batch.weights(1.0), DropoutKey::default());
        self.ring.begin(&[&[0; INPUT_WORDS as usize], &words])?;
        let is_last = index + 1 == self.evaluated_batches(self.config.eval_batches);
        Ok(Item::Validation { index, targets: batch.targets, is_last })
    }

    fn begin_step(&mut self) -> Result<Option<Item>> {
        let (step, count) = (self.submitted + 1, self.config.accumulate);
        let StepBatches { batches, reward } = match self.source.step(step, count) {
            Ok(batches) => batches,
            Err(error) if self.gpt.gpu.is_lost() => return Err(error),
            Err(error) => {
                self.source_fault = Some(error);
                return Ok(None);
            }
        };
        let (seed, learning_rate) = (self.config.seed, self.config.rate(step));
        let mut words = StepInputs { seed, step, learning_rate, ..StepInputs::default() }.words().to_vec();
        for (at, WeightedBatch { batch, weights }) in batches.iter().enumerate() {
            let dropout = DropoutKey { seed, batch: (step - 1) * count + at as u64 };
            words.extend(self.pass.words(batch, weights, dropout));
        }
        self.ring.begin(&[&words])?;
        let targets = batches.iter().flat_map(|weighted| weighted.batch.targets.iter().copied()).collect();
        Ok(Some(Item::Step { step, targets, reward }))
    }

    /// The present plan of an item, with the key of its times.
    pub(super) fn plan_of(&self, begun: &Begun) -> (usize, &Plan) {
        match (&begun.item, &self.plans.further) {
            (Item::Validation { .. }, _) => (3, &self.plans.loss),
            (Item::Step { .. }, Some((_, update))) if begun.complete == self.sizes.batches as usize => (2, update),
            (Item::Step { .. }, Some((further, _))) if begun.complete > 0 => (1, further),
            (Item::Step { .. }, _) => (0, &self.plans.first),
        }
    }

    /// Encodes what precedes the present plan of an item: the copy of the inputs of its batch.
    fn open(&self, encoder: &mut wgpu::CommandEncoder, begun: &Begun) {
        let batch = begun.complete as u64;
        if batch == 0 && matches!(begun.item, Item::Step { .. }) {
            self.ring.copy_input(encoder, 0, INPUT_WORDS, &self.step);
            self.pass.clear(encoder);
        }
        if batch < self.sizes.batches {
            let mut at = self.sizes.inputs_at(batch);
            for (view, words) in self.pass.inputs() {
                self.ring.copy_input(encoder, at, words, view);
                at += words;
            }
        }
    }

    /// Encodes what follows the present plan of an item: the copy of the results of its batch, then what precedes the
    /// next plan, or the end of the item. Returns the item if it has a next plan.
    pub(super) fn next(&mut self, encoder: &mut wgpu::CommandEncoder, begun: Begun) -> Option<Begun> {
        let batch = begun.complete as u64;
        if batch < self.sizes.batches {
            let [losses, entropies] = self.sizes.results_at(batch);
            self.ring.copy_result(encoder, &self.pass.head_rows.loss, losses, self.sizes.rows);
            self.ring.copy_result(encoder, &self.pass.head_rows.entropy, entropies, self.sizes.rows);
        }
        let plans = match (&begun.item, &self.plans.further) {
            (Item::Step { .. }, Some(_)) => self.sizes.batches as usize + 1,
            _ => 1,
        };
        if begun.complete + 1 < plans {
            let next = Begun { complete: begun.complete + 1, position: Position::default(), ..begun };
            self.open(encoder, &next);
            return Some(next);
        }
        match begun.item {
            Item::Step { step, .. } => {
                self.ring.copy_result(encoder, &self.adam.state, 0, STATE_WORDS);
                self.submitted = step;
                self.validation = self.evaluates_after(step).then_some(0);
            }
            Item::Validation { index, is_last, .. } => self.validation = (!is_last).then_some(index + 1),
        }
        self.ring.end(encoder, begun.item);
        None
    }

    /// Submits the next item. Returns `false` if it was stopped and discarded, or if there is a [`Self::source_fault`].
    pub(super) fn submit(&mut self) -> Result<bool> {
        let new_encoder = |gpu: &Gpu| gpu.device().create_command_encoder(&Default::default());
        let mut encoder = new_encoder(self.gpu());
        let mut next = self.begin(&mut encoder)?;
        if next.is_none() {
            return Ok(false);
        }
        while let Some(begun) = next {
            let (_, plan) = self.plan_of(&begun);
            if self.replay.is_in_pieces() {
                self.gpu().queue().submit([encoder.finish()]);
                let ran = match begun.item {
                    Item::Step { .. } => self.replay.run(plan)?,
                    Item::Validation { .. } => plan.run().map(|()| true)?,
                };
                if !ran {
                    self.ring.discard()?;
                    return Ok(false);
                }
                encoder = new_encoder(self.gpu());
            } else {
                plan.encode_pass(&mut encoder);
            }
            next = self.next(&mut encoder, begun);
        }
        self.ring.submit(encoder);
        Ok(true)
    }

    /// Waits for the oldest item in flight. Returns a report if it was the last one of a step.
    pub(super) fn receive(&mut self) -> Result<Option<GptReport>> {
        Ok(self.ring.receive_item()?.and_then(|arrived| self.take(arrived)))
    }

    /// Takes the results of an item into account. Returns the report of its step if it was the last one.
    pub(super) fn take(&mut self, arrived: ArrivedItem) -> Option<GptReport> {
        let ArrivedItem { step: item, results, seconds } = arrived;
        let (step, targets, reward) = match item {
            Item::Step { step, targets, reward } => (step, targets, reward),
            Item::Validation { targets, is_last, .. } => {
                let evaluation = self.evaluation.as_mut()?;
                evaluation.losses.extend(&results.losses[..targets.len()]);
                evaluation.targets.extend(targets);
                if !is_last {
                    return None;
                }
                let Evaluation { report, losses, targets } = self.evaluation.take()?;
                self.ring.restart_clock();
                return Some(GptReport { validation_loss: Some(Loss::of_targets(&losses, &targets).mean), ..report });
            }
        };
        // Rows without target have no entropy.
        let sequences = (targets.len() / self.gpt.config.block) as f64;
        let entropy = results.entropies.iter().map(|entropy| f64::from(*entropy)).sum::<f64>() / sequences;
        let loss = Loss::of_targets(&results.losses, &targets);
        self.replay.took(seconds);
        self.known.report(step);
        let report = GptReport {
            step,
            loss: loss.mean,
            loss_error: loss.error,
            validation_loss: None,
            gradient_norm: f64::from(results.state[4]),
            learning_rate: self.config.rate(step),
            tokens: loss.tokens,
            accepted: results.state[3] == 1.0,
            reward: reward.map(|reward| RewardReport { entropy, ..reward }),
            seconds,
        };
        if self.evaluates_after(step) {
            self.evaluation = Some(Evaluation { report, losses: Vec::new(), targets: Vec::new() });
            return None;
        }
        Some(report)
    }
}
