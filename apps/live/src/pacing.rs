//! How much of a frame training takes: what painting leaves of the time that the user grants.

/// Milliseconds of training in a frame, from those of earlier frames.
#[derive(Debug, Clone)]
pub struct Pacing {
    /// Milliseconds of a frame that the user grants.
    pub budget: f64,
    share: f64,
    mean: f64,
}

/// Least training in a frame as a fraction of the budget, however long painting takes.
const LEAST: f64 = 0.3;
/// Most training, so that what is recorded does not pile up where frames and training overlap.
const MOST: f64 = 0.5;
/// Frames longer than the budget by this fraction shorten training.
const TOLERANCE: f64 = 0.05;
/// Growth of training in a frame that is short enough, as a fraction of the budget.
const GROWTH: f64 = 0.02;
/// Fraction of the excess of a frame that the next one leaves out.
const RETREAT: f64 = 0.4;
/// Weight of a frame in the mean.
const WEIGHT: f64 = 0.1;
/// Longest frame of the mean in milliseconds: what is longer was hidden, or compiled kernels.
const LONGEST: f64 = 1e3;

impl Pacing {
    /// Frames of `budget` milliseconds.
    pub fn new(budget: f64) -> Self {
        Self { budget, share: 0.5 * budget, mean: budget }
    }

    /// Milliseconds of training in the next frame.
    pub fn share(&self) -> f64 {
        self.share.clamp(LEAST * self.budget, MOST * self.budget)
    }

    /// Mean time of recent frames in milliseconds.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Takes the time of a frame, from its beginning to that of the next one. `has_trained`: whether it contained training.
    pub fn frame(&mut self, milliseconds: f64, has_trained: bool) {
        let milliseconds = milliseconds.min(LONGEST);
        self.mean += WEIGHT * (milliseconds - self.mean);
        if !has_trained {
            return;
        }
        let excess = milliseconds - self.budget;
        if excess > TOLERANCE * self.budget {
            // One long frame takes no more than half.
            self.share -= (RETREAT * excess).min(0.5 * self.share);
        } else if excess <= 0.0 {
            self.share += GROWTH * self.budget;
        }
        self.share = self.share();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean frame and share after 400 frames, with a device that is behind by a frame.
    fn settled(budget: f64, of: impl Fn(f64, usize) -> f64) -> [f64; 2] {
        let mut pacing = Pacing::new(budget);
        let mut before = pacing.share();
        for at in 0..400 {
            let frame = of(before, at);
            before = pacing.share();
            pacing.frame(frame, true);
        }
        [pacing.mean(), pacing.share()]
    }

    #[test]
    fn frames_settle_at_the_budget() {
        for (budget, painting) in [(100.0, 55.0), (100.0, 65.0), (33.0, 20.0)] {
            // Launches are not divided, so a share is met within a few milliseconds.
            let noise = |at: usize| (at * 7 % 5) as f64 - 2.0;
            let [mean, share] = settled(budget, |share, at| painting + share + noise(at));
            assert!(mean > 0.8 * budget && mean < 1.1 * budget, "{budget} {painting}: {mean}");
            assert!((share - (budget - painting)).abs() < 0.2 * budget, "{budget} {painting}: {share}");
        }
    }

    #[test]
    fn frames_of_a_screen_stay_close_to_the_budget() {
        let refresh = 1e3 / 60.0;
        let [mean, share] = settled(33.4, |share, _| ((1.5 + share) / refresh).ceil() * refresh);
        assert!(mean < 1.2 * 33.4 && share > 14.0, "{mean} {share}");
    }

    #[test]
    fn painting_beyond_the_budget_leaves_the_least_training() {
        let [mean, share] = settled(20.0, |share, _| 50.0 + share);
        assert_eq!(share, 6.0);
        assert!((mean - 56.0).abs() < 1.0, "{mean}");
    }

    #[test]
    fn one_long_frame_and_frames_without_training_change_little() {
        let mut pacing = Pacing::new(100.0);
        (0..20).for_each(|_| pacing.frame(100.0, true));
        assert_eq!(pacing.share(), 50.0);
        pacing.frame(9e3, true);
        assert_eq!(pacing.share(), 30.0);
        (0..20).for_each(|_| pacing.frame(16.0, false));
        assert_eq!(pacing.share(), 30.0);
    }
}
