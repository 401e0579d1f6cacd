//! Energies of a run, and when they came close to the exact one.

use std::collections::VecDeque;

use ketformer::vmc::StepReport;

/// Energy of a step, per site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Number of the step, over all Hamiltonians of the run.
    pub step: u64,
    /// E/N of the samples of the step.
    pub energy: f64,
    /// Mean over the last steps with the same Hamiltonian.
    pub mean: f64,
    /// Seconds of training with this Hamiltonian.
    pub seconds: f64,
}

/// Steps with one Hamiltonian.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Step before the first one.
    pub begin: u64,
    /// Exact energy per site, if it is known.
    pub exact: Option<f64>,
    first: usize,
}

/// Number of steps of a mean.
const WINDOW: usize = 20;
/// Number of steps whose energies are kept with all digits.
const FIRST: usize = 20;
/// Maximum number of points; beyond it every second one is left out.
const MOST_POINTS: usize = 8192;

/// Energies of a run.
#[derive(Debug, Default)]
pub struct History {
    points: Vec<Point>,
    segments: Vec<Segment>,
    recent: VecDeque<f64>,
    seconds: f64,
    stride: u64,
    last: Option<Point>,
    begin: u64,
    first: Vec<f64>,
}

impl History {
    /// The history of a run that continues after `steps` steps.
    pub fn after(steps: u64) -> Self {
        Self { begin: steps, ..Self::default() }
    }

    /// Steps before the first one here.
    pub fn begin_step(&self) -> u64 {
        self.begin
    }

    /// Energies of the first steps, of the whole lattice.
    pub fn first(&self) -> &[f64] {
        &self.first
    }

    /// Begins with another Hamiltonian.
    pub fn begin(&mut self) {
        if self.segments.last().is_some_and(|segment| segment.begin == self.steps()) {
            self.segments.pop();
        }
        self.segments.push(Segment { begin: self.steps(), exact: None, first: self.points.len() });
        self.recent.clear();
        self.seconds = 0.0;
    }

    /// Adds a step on `sites` sites.
    pub fn add(&mut self, report: &StepReport, sites: usize) {
        if self.segments.is_empty() {
            self.begin();
        }
        let energy = report.energy / sites as f64;
        if self.first.len() < FIRST {
            self.first.push(report.energy);
        }
        self.recent.push_back(energy);
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        self.seconds += report.seconds;
        let mean = self.recent.iter().sum::<f64>() / self.recent.len() as f64;
        let point = Point { step: self.steps() + 1, energy, mean, seconds: self.seconds };
        self.last = Some(point);
        self.stride = self.stride.max(1);
        if point.step.is_multiple_of(self.stride) {
            self.points.push(point);
        }
        if self.points.len() > MOST_POINTS {
            self.thin();
        }
    }

    /// Leaves out every second point.
    fn thin(&mut self) {
        self.stride *= 2;
        self.points.retain(|point| point.step.is_multiple_of(self.stride));
        for segment in &mut self.segments {
            segment.first = self.points.partition_point(|point| point.step <= segment.begin);
        }
    }

    /// Sets the exact energy per site of the present Hamiltonian.
    pub fn set_exact(&mut self, exact: Option<f64>) {
        if self.segments.is_empty() {
            self.begin();
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.exact = exact;
        }
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.last.map_or(self.begin, |point| point.step)
    }

    /// The newest point.
    pub fn last(&self) -> Option<Point> {
        self.last
    }

    /// All points.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// All Hamiltonians.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Exact energy per site of the present Hamiltonian.
    pub fn exact(&self) -> Option<f64> {
        self.segments.last()?.exact
    }

    /// Distance of the newest mean from the exact energy, relative to it.
    pub fn error(&self) -> Option<f64> {
        let (exact, point) = (self.exact()?, self.last?);
        let begin = self.segments.last()?.begin;
        (point.step > begin).then(|| ((point.mean - exact) / exact).abs())
    }

    /// The first point with a mean within `fraction` of the exact energy: steps and seconds with the present Hamiltonian.
    pub fn reached(&self, fraction: f64) -> Option<(u64, f64)> {
        let segment = self.segments.last()?;
        let exact = segment.exact?;
        let is_close = |point: &&Point| ((point.mean - exact) / exact).abs() < fraction;
        let point = self.points[segment.first..].iter().find(is_close)?;
        Some((point.step - segment.begin, point.seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(energy: f64) -> StepReport {
        StepReport { energy, seconds: 0.5, ..StepReport::default() }
    }

    #[test]
    fn the_time_to_an_accuracy_is_that_of_the_present_hamiltonian() {
        let mut history = History::default();
        history.set_exact(Some(-1.0));
        (0..30).for_each(|_| history.add(&report(-3.98), 4));
        assert_eq!(history.reached(0.01), Some((1, 0.5)));
        assert_eq!(history.reached(0.001), None);
        history.begin();
        assert_eq!((history.reached(0.01), history.exact()), (None, None));
        history.set_exact(Some(-2.0));
        (0..3).for_each(|_| history.add(&report(-4.0), 4));
        assert_eq!(history.reached(0.01), None);
        (0..40).for_each(|_| history.add(&report(-7.99), 4));
        assert_eq!(history.reached(0.001 + 1e-6).map(|(steps, _)| steps), None);
        assert!(history.error().unwrap() < 2e-3 && history.reached(0.01).is_some());
        assert_eq!((history.steps(), history.segments().len()), (73, 2));
    }

    #[test]
    fn long_runs_keep_a_bounded_number_of_points() {
        let mut history = History::default();
        history.set_exact(Some(-1.0));
        (0..40_000).for_each(|_| history.add(&report(-4.0), 4));
        assert!(history.points().len() <= MOST_POINTS);
        assert_eq!(history.steps(), 40_000);
        assert!(history.points().windows(2).all(|pair| pair[0].step < pair[1].step));
    }
}
