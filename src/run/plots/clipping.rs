//! Values outside the range of a plot: the part of a curve within the range, and marks at the edges for the rest.

use crate::plot_style::typographic;
use crate::run::significant;

/// Point of a plot, in coordinates in which lines are straight.
pub(super) type Point = (f64, f64);

/// Vertical range of a plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub bottom: f64,
    pub top: f64,
}

/// Horizontal edge of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Edge {
    Top,
    Bottom,
}

/// Values of steps beyond an edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Outside {
    /// The edge.
    pub edge: Edge,
    /// Number of steps.
    pub steps: usize,
    /// Smallest value.
    pub least: f64,
    /// Largest value.
    pub greatest: f64,
}

/// Marks that are closer than this part of the width are one mark.
const APART: f64 = 0.04;

impl Range {
    /// Edge beyond which a value lies, if it is outside.
    pub(super) fn edge(&self, y: f64) -> Option<Edge> {
        match y {
            y if y > self.top => Some(Edge::Top),
            y if y < self.bottom => Some(Edge::Bottom),
            _ => None,
        }
    }

    /// Coordinate of an edge.
    pub(super) fn at(&self, edge: Edge) -> f64 {
        match edge {
            Edge::Top => self.top,
            Edge::Bottom => self.bottom,
        }
    }

    /// Parts of the line through `points` within the range, cut where it crosses an edge.
    pub(super) fn pieces(&self, points: &[Point]) -> Vec<Vec<Point>> {
        let mut pieces: Vec<Vec<Point>> = Vec::new();
        for pair in points.windows(2) {
            let (begin, end) = (pair[0], pair[1]);
            let edges = [begin, end].map(|point| self.edge(point.1));
            if edges[0].is_some() && edges[0] == edges[1] {
                continue;
            }
            let crossing = |edge: Edge| {
                let y = self.at(edge);
                (begin.0 + (y - begin.1) / (end.1 - begin.1) * (end.0 - begin.0), y)
            };
            let [from, to] = [edges[0].map_or(begin, crossing), edges[1].map_or(end, crossing)];
            match pieces.last_mut() {
                Some(piece) if piece.last() == Some(&from) => piece.push(to),
                _ => pieces.push(vec![from, to]),
            }
        }
        pieces
    }

    /// Horizontal positions of the marks at an edge: the middles of the groups of `points` beyond it.
    pub(super) fn marks(&self, points: &[Point], edge: Edge) -> Vec<f64> {
        let [Some(first), Some(last)] = [points.first(), points.last()] else { return Vec::new() };
        let apart = APART * (last.0 - first.0);
        let mut groups: Vec<[f64; 2]> = Vec::new();
        for (x, _) in points.iter().filter(|point| self.edge(point.1) == Some(edge)) {
            match groups.last_mut() {
                Some([_, end]) if x - *end <= apart => *end = *x,
                _ => groups.push([*x, *x]),
            }
        }
        groups.into_iter().map(|[begin, end]| 0.5 * (begin + end)).collect()
    }
}

impl Outside {
    /// Smallest and largest value for display.
    fn values(&self) -> String {
        let [least, greatest] = [self.least, self.greatest].map(|value| typographic(&significant(value, 3)));
        if least == greatest { least } else { format!("{least} to {greatest}") }
    }

    /// Label of a legend.
    pub(super) fn label(&self) -> String {
        let side = if self.edge == Edge::Top { "above" } else { "below" };
        let steps = if self.steps == 1 { "step" } else { "steps" };
        format!("{} {steps} {side}: {}", self.steps, self.values())
    }

    /// Sentence for a caption.
    pub(in super::super) fn sentence(&self) -> String {
        let (mark, side) = if self.edge == Edge::Top { ("▲", "above") } else { ("▼", "below") };
        let steps = if self.steps == 1 { "1 step lies".into() } else { format!("{} steps lie", self.steps) };
        format!("{mark} {steps} {side} the plot, at {}.", self.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { bottom: 0.0, top: 2.0 };

    #[test]
    fn a_line_is_cut_where_it_crosses_an_edge() {
        let points = [(0.0, 6.0), (1.0, 4.0), (2.0, 0.0), (3.0, 1.0), (4.0, 2.0), (5.0, -2.0), (6.0, 2.0)];
        let pieces = RANGE.pieces(&points);
        assert_eq!(
            pieces,
            [vec![(1.5, 2.0), (2.0, 0.0), (3.0, 1.0), (4.0, 2.0), (4.5, 0.0)], vec![(5.5, 0.0), (6.0, 2.0)]]
        );
        // From above to below within one step.
        assert_eq!(RANGE.pieces(&[(0.0, 3.0), (1.0, -1.0)]), [[(0.25, 2.0), (0.75, 0.0)]]);
        assert!(RANGE.pieces(&[(0.0, 3.0), (1.0, 4.0)]).is_empty());
    }

    #[test]
    fn neighboring_values_outside_have_one_mark() {
        let outside = [1, 2, 3, 50, 99];
        let points: Vec<Point> =
            (0..=100).map(|step| (f64::from(step), if outside.contains(&step) { 9.0 } else { 1.0 })).collect();
        assert_eq!(RANGE.marks(&points, Edge::Top), [2.0, 50.0, 99.0]);
        assert!(RANGE.marks(&points, Edge::Bottom).is_empty());
    }

    #[test]
    fn a_sentence_has_number_and_range() {
        let outside = Outside { edge: Edge::Top, steps: 103, least: -0.4301, greatest: -0.2 };
        assert_eq!(outside.sentence(), "▲ 103 steps lie above the plot, at −0.430 to −0.200.");
        assert_eq!(outside.label(), "103 steps above: −0.430 to −0.200");
        let outside = Outside { edge: Edge::Bottom, steps: 1, least: 2e-9, greatest: 2e-9 };
        assert_eq!(outside.label(), "1 step below: 2.00·10⁻⁹");
        assert_eq!(outside.sentence(), "▼ 1 step lies below the plot, at 2.00·10⁻⁹.");
    }
}
