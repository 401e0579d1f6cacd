//! Replay of long plans in pieces, between which a stop is possible.
//!
//! The pieces change neither the launches nor their order, so results have the same bits.

use std::time::{Duration, Instant};

use super::plan::Dispatch;
use super::{Gpu, Plan};
use crate::error::Result;

/// Duration of a piece. A submission and the wait for it take about 1/1000 of it.
const PIECE: Duration = Duration::from_millis(100);
/// Weight of a launch in addition to its arithmetic and memory traffic: the time of an empty launch.
const LAUNCH: f64 = 1e4;
/// Weight of a byte, compared with a floating-point operation.
const BYTE: f64 = 4.0;
/// Weight per second that is assumed before the first piece: less than that of any processor.
const FIRST_RATE: f64 = 1e6;
/// Maximum growth of the rate from piece to piece.
const GROWTH: f64 = 8.0;

/// Speed of the device, which determines the size of pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Weight per second.
    rate: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rate: FIRST_RATE }
    }
}

impl Pace {
    /// Weight of a piece.
    fn piece(self) -> f64 {
        self.rate * PIECE.as_secs_f64()
    }

    /// Takes the time of a piece of this weight into account.
    fn measured(&mut self, weight: f64, time: Duration) {
        let rate = weight / time.as_secs_f64().max(1e-6);
        self.rate = rate.clamp(self.rate / (GROWTH * GROWTH), self.rate * GROWTH).max(LAUNCH);
    }
}

/// Estimated time of a launch.
fn weight(dispatch: &Dispatch) -> f64 {
    LAUNCH + dispatch.cost.flops + BYTE * dispatch.cost.bytes
}

impl Plan {
    /// Makes the launches that are recorded from here on inseparable: [`Plan::run_until`] does not stop between them.
    /// They change what later replays depend on.
    pub(crate) fn keep_together(&mut self) {
        self.together = true;
    }

    /// Replays the plan in pieces and waits for each of them. Stops before a piece if `stop` returns true, but not
    /// between launches that are kept together. Returns whether the plan ran to its end.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub(crate) fn run_until(&self, pace: &mut Pace, stop: &dyn Fn() -> bool) -> Result<bool> {
        let mut order = self.order().peekable();
        while let Some(next) = order.peek() {
            if !next.together && stop() {
                return Ok(false);
            }
            let begun = Instant::now();
            let mut sum = 0.0;
            let mut encoder = self.gpu().device().create_command_encoder(&Default::default());
            {
                let descriptor = wgpu::ComputePassDescriptor { label: Some("ketformer.plan"), timestamp_writes: None };
                let mut pass = encoder.begin_compute_pass(&descriptor);
                let room = pace.piece();
                while let Some(dispatch) =
                    order.next_if(|next| next.together || sum == 0.0 || sum + weight(next) <= room)
                {
                    sum += weight(dispatch);
                    self.encode(&mut pass, dispatch);
                }
            }
            let gpu: &Gpu = self.gpu();
            let submission = gpu.queue().submit([encoder.finish()]);
            gpu.wait(Some(submission))?;
            pace.measured(sum, begun.elapsed());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_approach_their_duration() {
        let mut pace = Pace::default();
        // A device of 10^10 per second.
        for _ in 0..10 {
            let piece = pace.piece();
            pace.measured(piece, Duration::from_secs_f64(piece / 1e10));
        }
        assert!((pace.piece() / 1e9 - 1.0).abs() < 1e-6, "{pace:?}");
        // A compilation does not make the following pieces arbitrarily small.
        pace.measured(1e9, Duration::from_secs(1000));
        assert!(pace.piece() > 1e7, "{pace:?}");
    }
}
