//! Density correlations between two sites: with a selectable reference site, against the distance, and by wave vector.

use std::collections::BTreeMap;
use std::fmt::Write;

use plotters::prelude::*;

use super::Report;
use super::drawing::{Scale, SitePositions};
use super::markup::{figure, shown};
use super::structure_factor;
use super::training::{LETTERS, SIZE, inline};
use crate::plot_style;
use crate::plot_style::{Axis, Fault, Frame};
use crate::vmc::{CORRELATED_SITES, Mean};

pub(super) fn figures(report: &Report) -> Result<String, Fault> {
    if report.estimate.observables.correlation.is_empty() {
        return Ok(format!(
            "<p>Correlations and the structure factor are estimated for up to {CORRELATED_SITES} sites; this lattice has {}.</p>\n",
            report.lattice.sites()
        ));
    }
    Ok(lattice(report) + &against_distance(report)? + &structure_factor::section(report)?)
}

/// Color scale over all pairs of different sites, so that a color means the same for every reference.
fn scale(report: &Report) -> Scale {
    let found = &report.estimate.observables.correlation;
    let apart = |i: usize| move |(j, mean): (usize, &Mean)| if i == j { 0.0 } else { mean.value };
    Scale::signed(found.iter().enumerate().flat_map(|(i, row)| row.iter().enumerate().map(apart(i))))
}

fn lattice(report: &Report) -> String {
    let places = SitePositions::new(&report.lattice);
    let reference = places.central();
    let scale = scale(report);
    let label = "role=\"radiogroup\" aria-label=\"Reference site\" id=\"correlation-lattice\"";
    let mut svg = places.svg("lattice choice", 0.0, label);
    for (site, mean) in report.estimate.observables.correlation[reference].iter().enumerate() {
        let name = places.name(site);
        let title = format!("<title>{name}: {}</title>", shown(mean.value, 3));
        let (fill, chosen) = match site == reference {
            true => ("class=\"reference\"".to_string(), "aria-checked=\"true\" tabindex=\"0\""),
            false => (scale.fill(mean.value), "aria-checked=\"false\" tabindex=\"-1\""),
        };
        let attributes = format!("{fill} role=\"radio\" aria-label=\"{name}\" data-choice=\"{site}\" {chosen}");
        svg += &places.disc(site, &attributes, &title);
    }
    let name = places.name(reference);
    let caption = format!(
        "Correlation <span class=\"formula\">⟨n<sub>i</sub> n<sub>j</sub>⟩ − ⟨n<sub>i</sub>⟩⟨n<sub>j</sub>⟩</span> of \
         every site with the reference, \
         <output id=\"correlation-reference\">{name}</output>, which is not colored. {} \
         <span class=\"scripted\">Choose another site to make it the reference.</span>",
        places.described()
    );
    figure("drawing", &format!("{svg}</svg>\n{}", scale.legend("correlation")), &caption)
}

/// Mean correlation of the pairs at each distance, with the mean of their errors: the pairs come from the same samples,
/// and this is the error of fully correlated deviations.
fn by_distance(report: &Report) -> Vec<(f64, Mean)> {
    let mut pairs: BTreeMap<usize, (f64, f64, usize)> = BTreeMap::new();
    for (i, row) in report.estimate.observables.correlation.iter().enumerate() {
        for (j, mean) in row.iter().enumerate().skip(i + 1) {
            if mean.value.is_finite() && mean.error.is_finite() {
                let sum = pairs.entry(report.lattice.distance_squared(i, j)).or_default();
                *sum = (sum.0 + mean.value, sum.1 + mean.error, sum.2 + 1);
            }
        }
    }
    let mean =
        |(value, error, count): (f64, f64, usize)| Mean { value: value / count as f64, error: error / count as f64 };
    pairs.into_iter().map(|(squared, sum)| ((squared as f64).sqrt(), mean(sum))).collect()
}

fn against_distance(report: &Report) -> Result<String, Fault> {
    let points = by_distance(report);
    if points.is_empty() {
        return Ok("<p>There are no two sites to correlate.</p>\n".into());
    }
    let ends = || points.iter().flat_map(|(_, mean)| [mean.value - mean.error, mean.value + mean.error]);
    let (least, most) = ends().fold((0.0, 0.0), |(a, b): (f64, f64), y| (a.min(y), b.max(y)));
    let room = 0.06 * (most - least).max(1e-6);
    let (bottom, top) = (least - room, most + room);
    let right = points.last().map_or(1.0, |point| point.0) + 0.5;
    let decimals = plot_style::decimals(bottom, top);
    // Rounding may have left a negative zero.
    let number = |y: &f64| format!("{:.decimals$}", if y.abs() < 1e-9 * top { 0.0 } else { *y });
    let x = Axis { range: 0.0..right, name: "distance r", number: &|x| format!("{x:.0}"), numbers: 6 };
    let y = Axis { range: bottom..top, name: "correlation", number: &number, numbers: 5 };
    let svg = plot_style::svg(SIZE, 1, |panels| {
        let frame = Frame { title: "", legend: None, letters: LETTERS };
        plot_style::chart(&panels[0], frame, x, y, |chart| {
            chart.draw_series(LineSeries::new([(0.0, 0.0), (right, 0.0)], plot_style::INK.stroke_width(1)))?;
            plot_style::means(
                chart,
                &points.iter().map(|(r, mean)| (*r, [mean.value, mean.error])).collect::<Vec<_>>(),
                7,
            )
        })
    })?;
    let around =
        if report.lattice.periodic.contains(&true) { ", which is the shortest around the periodic sides" } else { "" };
    let caption = format!(
        "The same, averaged over all pairs at one distance{around}. Error bars are the mean of the errors of the \
         pairs, which assumes full correlation between them."
    );
    Ok(figure("chart", &inline(&svg, "Correlation against distance"), &caption))
}

/// JSON data with which the page draws other references: the largest magnitude, and for every site the correlations
/// with all sites up to itself; `null` if there are none.
pub(super) fn data(report: &Report) -> String {
    let found = &report.estimate.observables.correlation;
    if found.is_empty() {
        return "null".into();
    }
    let number = |mean: &Mean| match mean.value {
        value if !value.is_finite() => "null".to_string(),
        value => format!("{:?}", format!("{value:.3e}").parse::<f64>().unwrap_or(0.0)),
    };
    let mut text = format!("{{\"greatest\":{:e},\"rows\":[", scale(report).greatest());
    for (i, row) in found.iter().enumerate() {
        let row: Vec<String> = row[..=i].iter().map(number).collect();
        write!(text, "{}[{}]", if i == 0 { "" } else { "," }, row.join(",")).ok();
    }
    text + "]}"
}

#[cfg(test)]
mod tests {
    use super::super::samples::{chain, square};
    use super::*;

    #[test]
    fn every_site_can_be_the_reference_and_one_is() {
        let html = figures(&square(4)).unwrap();
        assert_eq!(html.matches("data-choice=").count(), 16);
        assert_eq!(html.matches("aria-checked=\"true\"").count(), 1);
        assert!(html.contains("class=\"plus\"") && html.contains("class=\"minus\"") && html.contains("correlation"));
    }

    #[test]
    fn the_data_are_the_lower_triangle() {
        let report = square(4);
        let data: serde_json::Value = serde_json::from_str(&data(&report)).unwrap();
        let rows = data["rows"].as_array().unwrap();
        assert_eq!((rows.len(), rows[5].as_array().unwrap().len()), (16, 6));
        let exact = report.estimate.observables.correlation[5][2].value;
        assert!((rows[5][2].as_f64().unwrap() - exact).abs() < 1e-3 * exact.abs());
        let found = &report.estimate.observables.correlation;
        let greatest = (0..16).flat_map(|i| (0..i).map(move |j| found[i][j].value.abs())).fold(0.0, f64::max);
        assert!((data["greatest"].as_f64().unwrap() - greatest).abs() < 1e-12);
    }

    #[test]
    fn pairs_at_one_distance_are_averaged() {
        let mut report = chain(3);
        let mean = |value| Mean { value, error: 0.5 };
        report.estimate.observables.correlation =
            vec![vec![mean(9.0), mean(1.0), mean(5.0)], vec![mean(1.0), mean(9.0), mean(3.0)], vec![mean(0.0); 3]];
        let found = by_distance(&report);
        assert_eq!(found, [(1.0, mean(2.0)), (2.0, mean(5.0))]);
        report.lattice = report.lattice.periodic();
        assert_eq!(by_distance(&report), [(1.0, mean(3.0))], "around the periodic sides all are neighbors");
        assert!(against_distance(&report).unwrap().contains("around the periodic sides"));
        report.estimate.observables.correlation = vec![vec![mean(1.0)]];
        assert!(against_distance(&report).unwrap().contains("no two sites"));
    }
}
