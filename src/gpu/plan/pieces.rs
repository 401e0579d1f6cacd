//! Replay of long plans in pieces, between which a stop is possible. Systems abort submissions of a few seconds, Windows
//! after two.
//!
//! The pieces change neither the launches nor their order, so results have the same bits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use web_time::Instant;

use super::Dispatch;
use super::Plan;
use crate::error::Result;

/// Duration of a piece. A submission and the wait for it take about 1/1000 of it.
const PIECE: Duration = Duration::from_millis(100);
/// Weight of a launch in addition to its arithmetic and memory traffic: the time of an empty launch.
const LAUNCH: f64 = 1e4;
/// Weight of a byte, compared with a floating-point operation.
const BYTE: f64 = 4.0;
/// Weight per second that is assumed before the first piece: less than that of any processor.
pub(in crate::gpu) const FIRST_RATE: f64 = 1e6;
/// Maximum growth of the rate from piece to piece.
const GROWTH: f64 = 8.0;

/// Speed of a device, which determines the size of pieces.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bits of the f64 weight per second.
    rate: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rate: AtomicU64::new(FIRST_RATE.to_bits()) }
    }
}

impl Pace {
    /// Weight per second.
    fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// Weight that takes about this time.
    pub(in crate::gpu) fn weight(&self, time: Duration) -> f64 {
        self.rate() * time.as_secs_f64()
    }

    /// Takes the time of a piece of this weight into account. A time that is short compared with a whole piece is mostly
    /// that of the submission and the wait, so it can only show that the device is faster than known.
    pub(in crate::gpu) fn measured(&self, weight: f64, time: Duration) {
        let (known, rate) = (self.rate(), weight / time.as_secs_f64().max(1e-6));
        let least = if time < PIECE / 2 { known } else { (known / (GROWTH * GROWTH)).max(LAUNCH) };
        self.rate.store(rate.clamp(least, least.max(known * GROWTH)).to_bits(), Ordering::Relaxed);
    }
}

/// Maximum number of launches of a piece.
const LAUNCHES: usize = 4096;

/// Estimated time of a launch.
pub(in crate::gpu) fn weight(dispatch: &Dispatch) -> f64 {
    LAUNCH + dispatch.cost.flops + BYTE * dispatch.cost.bytes
}

impl Plan {
    /// Makes the launches that are recorded until [`Plan::end_together`] inseparable. They change what later replays
    /// depend on, so [`Plan::run_until`] stops neither between nor after them.
    pub(crate) fn keep_together(&mut self) {
        self.together = true;
    }

    /// Ends the inseparable launches.
    pub(crate) fn end_together(&mut self) {
        self.together = false;
    }

    /// Replays the plan and waits for it, in submissions of about 100 ms.
    ///
    /// # Errors
    /// As [`crate::gpu::Gpu::wait`].
    pub fn run(&self) -> Result<()> {
        self.run_until(&self.gpu().inner.pace, &|| false).map(|_| ())
    }

    /// As [`Plan::run`], without blocking. Outside browsers, the device has to be polled meanwhile.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub async fn run_async(&self) -> Result<()> {
        self.run_in_pieces(&self.gpu().inner.pace, &|| false).await.map(|_| ())
    }

    /// Replays the plan in pieces and waits for each of them. Stops before a piece if `stop` returns true, but not
    /// once launches that are kept together have run. Returns whether the plan ran to its end.
    ///
    /// # Errors
    /// As [`crate::gpu::Gpu::wait`].
    pub(crate) fn run_until(&self, pace: &Pace, stop: &dyn Fn() -> bool) -> Result<bool> {
        self.gpu().block_on(self.run_in_pieces(pace, stop))
    }

    async fn run_in_pieces(&self, pace: &Pace, stop: &dyn Fn() -> bool) -> Result<bool> {
        let mut order = self.order().peekable();
        let mut may_stop = true;
        while let Some(next) = order.peek() {
            may_stop &= !next.together;
            if may_stop && stop() {
                return Ok(false);
            }
            let begun = Instant::now();
            let (mut sum, mut launches) = (0.0, 0);
            let mut encoder = self.gpu().device().create_command_encoder(&Default::default());
            {
                let descriptor = wgpu::ComputePassDescriptor { label: Some("ketformer.plan"), timestamp_writes: None };
                let mut pass = encoder.begin_compute_pass(&descriptor);
                let room = pace.weight(PIECE);
                while let Some(dispatch) = order.next_if(|next| {
                    next.together || launches == 0 || (launches < LAUNCHES && sum + weight(next) <= room)
                }) {
                    sum += weight(dispatch);
                    launches += 1;
                    may_stop &= !dispatch.together;
                    self.encode(&mut pass, dispatch);
                }
            }
            self.gpu().queue().submit([encoder.finish()]);
            self.gpu().finished().await?;
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
        let pace = Pace::default();
        // A device of 10^10 per second.
        for _ in 0..10 {
            let piece = pace.weight(PIECE);
            pace.measured(piece, Duration::from_secs_f64(piece / 1e10));
        }
        assert!((pace.weight(PIECE) / 1e9 - 1.0).abs() < 1e-6, "{pace:?}");
        // A compilation does not make the following pieces arbitrarily small.
        pace.measured(1e9, Duration::from_secs(1000));
        assert!(pace.weight(PIECE) > 1e7, "{pace:?}");
    }

    #[test]
    fn short_pieces_do_not_slow_the_pace_down() {
        let pace = Pace::default();
        (0..10).for_each(|_| pace.measured(1e9, Duration::from_millis(100)));
        let known = pace.weight(PIECE);
        pace.measured(LAUNCH, Duration::from_millis(1));
        assert_eq!(pace.weight(PIECE), known);
        pace.measured(1e9, Duration::from_millis(200));
        assert!(pace.weight(PIECE) < 0.6 * known);
    }
}
