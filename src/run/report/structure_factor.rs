//! Structure factor: one square per wave vector.

use super::Report;
use super::drawing::{CELL, Scale, SitePositions};
use super::markup::{coordinate, figure, measured, shown};
use crate::plot_style::Fault;

/// Font size of the axis labels in points on a phone.
const LETTERS: f64 = 12.0;

/// Figure of the structure factor; empty if it is not known.
pub(super) fn section(report: &Report) -> Result<String, Fault> {
    let found = &report.estimate.observables.structure_factor;
    if found.is_empty() {
        return Ok(String::new());
    }
    let places = SitePositions::new(&report.lattice);
    let observables = &report.estimate.observables;
    // Without spin-flip symmetry, k = 0 contains the mean density, which is often far larger than everything else.
    let without_zero = usize::from(!observables.is_flip_symmetric);
    let scale = Scale::positive(found.iter().skip(without_zero).map(|mean| mean.value));
    let letters = places.letters(LETTERS);
    let mut svg = places.svg("lattice", 1.4 * letters, "role=\"img\" aria-label=\"Structure factor by wave vector\"");
    for (wave, mean) in found.iter().enumerate() {
        let [x, y] = places.of(wave).map(|at| coordinate(at as f64 * CELL + 0.5));
        let measured = measured((*mean).into());
        svg += &format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"23\" height=\"23\" {}><title>k = {}: {measured}</title></rect>\n",
            scale.fill(mean.value),
            vector(report, wave),
        );
    }
    let (lx, ly) = (report.lattice.lx, report.lattice.ly);
    if lx > 1 && ly > 1 {
        let middle = |at: usize| (at as f64 + 0.5) * CELL;
        let text = |x: f64, y: f64, name: &str| {
            let [x, y, size] = [x, y, letters].map(coordinate);
            format!("<text class=\"wave\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\">{name}</text>\n")
        };
        for (at, name) in named(lx) {
            svg += &text(middle(at), -0.4 * letters, name);
        }
        for (at, name) in named(ly) {
            svg += &text(-0.7 * letters, middle(at) + 0.36 * letters, name);
        }
    }
    let [zero, connected] = [found[0], observables.connected].map(|mean| shown(mean.value, 3));
    let peak = observables.peak().map_or(String::new(), |(peak, value)| {
        let kind = if peak.is_connected { ", connected" } else { "" };
        format!("The largest peak is {} at k = {}{kind}. ", shown(value.value, 3), vector(report, peak.wave))
    });
    let exceeds =
        if observables.is_flip_symmetric { "" } else { ", which includes the mean density and may exceed the scale" };
    let where_from = match lx > 1 && ly > 1 {
        true => "k = 2π (a/L<sub>x</sub>, b/L<sub>y</sub>), a to the right and b downwards",
        false => "k = 2π a/L, a in the order of the sites",
    };
    let caption = format!(
        "Structure factor <span class=\"formula\">S(k) = ⟨|Σ<sub>j</sub> exp(i k·r<sub>j</sub>) (n<sub>j</sub> − ½)|²⟩/N\
         </span>, not connected, at {where_from}. {peak}At k = 0{exceeds}, it is {zero}, and {connected} connected: \
         <span class=\"formula\">N (⟨m²⟩ − ⟨m⟩²)</span> of the uniform magnetization."
    );
    Ok(figure("drawing", &format!("{svg}</svg>\n{}", scale.legend("S(k)")), &caption))
}

/// Components of wave vectors along a side that are labeled on the axis.
fn named(length: usize) -> impl Iterator<Item = (usize, &'static str)> {
    [(0, "0"), (length / 2, "π")].into_iter().filter(move |(at, _)| *at == 0 || 2 * at == length)
}

/// Wave vector in units of π.
fn vector(report: &Report, wave: usize) -> String {
    let (a, b) = report.lattice.position(wave);
    let part = |at: usize, length: usize| match (2 * at, length) {
        (0, _) => "0".to_string(),
        (twice, length) if twice % length == 0 => "π".to_string(),
        (twice, length) => format!("{twice}π/{length}"),
    };
    match (report.lattice.lx, report.lattice.ly) {
        (lx, 1) => part(a, lx),
        (1, ly) => part(b, ly),
        (lx, ly) => format!("({}, {})", part(a, lx), part(b, ly)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{chain, square};
    use super::*;

    #[test]
    fn every_wave_vector_has_a_square() {
        let html = section(&square(4)).unwrap();
        assert_eq!(html.matches("<rect").count(), 16);
        assert!(html.contains("k = (π, π): ") && html.contains("k = (2π/4, 0): "), "{html}");
        let html = section(&chain(12)).unwrap();
        assert!(html.matches("<rect").count() == 12 && html.contains("k = 2π/12: ") && html.contains("k = π: "));
        let mut report = square(4);
        report.estimate.observables.structure_factor.clear();
        assert_eq!(section(&report).unwrap(), "");
    }
}
