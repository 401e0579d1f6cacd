//! Mean occupation of every site, and some of the sampled configurations.

use super::Report;
use super::drawing::{LEAST, Scale, SitePositions, address};
use super::markup::{figure, measured, shown};
use crate::plot_style::Fault;

/// Number of sites above which they are drawn as pixels: more circles would make the page slow.
const MANY: usize = 1024;

/// Maximum number of configurations shown.
const SNAPSHOTS: usize = 12;

/// Maximum number of columns for which the values are printed in the sites.
const WRITTEN: usize = 8;

/// Opacity of the largest density, so that its value is readable on it.
const STRONGEST: f64 = 0.6;

pub(super) fn figures(report: &Report) -> Result<String, Fault> {
    Ok(densities(report)? + &snapshots(report)?)
}

fn densities(report: &Report) -> Result<String, Fault> {
    let places = SitePositions::new(&report.lattice);
    let found = &report.estimate.observables.density_per_site;
    let scale = Scale::positive(found.iter().map(|mean| mean.value));
    let label = "role=\"img\" aria-label=\"The lattice with the mean occupation of each site\"";
    let mut svg = places.svg("lattice", 0.0, label);
    if found.len() > MANY {
        svg += &image(&places, &|site| found[site].value, &scale)?;
    } else {
        for (site, mean) in found.iter().enumerate() {
            let measured = measured((*mean).into());
            let title = format!("<title>{}: {measured}</title>", places.name(site));
            let opacity = (STRONGEST * 100.0 * scale.opacity(mean.value)).round() / 100.0;
            svg += &places.disc(site, &format!("class=\"minus ring\" fill-opacity=\"{opacity}\""), &title);
            if places.columns <= WRITTEN && mean.value.is_finite() {
                let [x, y] = places.middle(site);
                svg += &format!("<text class=\"inside\" x=\"{x}\" y=\"{}\">{:.2}</text>\n", y + 2.6, mean.value);
            }
        }
    }
    let caption =
        format!("Mean occupation ⟨n⟩ of each site over {} samples. {}", report.estimate.samples, places.described());
    let legend = scale.legend("⟨n⟩").replace("<i>", "<i class=\"weak\">");
    Ok(figure("drawing", &format!("{svg}</svg>\n{legend}"), &caption))
}

fn snapshots(report: &Report) -> Result<String, Fault> {
    if report.snapshots.is_empty() {
        return Ok("<p>No sample is shown.</p>\n".into());
    }
    let places = SitePositions::new(&report.lattice);
    let mut pictures = String::new();
    for (number, configuration) in report.snapshots.iter().take(SNAPSHOTS).enumerate() {
        let occupied = |site: usize| configuration.get(site).is_some_and(|n| *n != 0);
        let sites = report.lattice.sites();
        let count = (0..sites).filter(|site| occupied(*site)).count();
        let label = format!("role=\"img\" aria-label=\"Sample {}: {count} of {sites} sites occupied\"", number + 1);
        pictures += &places.svg("lattice", 0.0, &label);
        if sites > MANY {
            let scale = Scale::positive([1.0]);
            pictures += &image(&places, &|site| f64::from(u8::from(occupied(site))), &scale)?;
        } else {
            for site in 0..sites {
                pictures += &places.disc(site, if occupied(site) { "class=\"full\"" } else { "class=\"open\"" }, "");
            }
        }
        pictures += "</svg>\n";
    }
    let shown = report.snapshots.len().min(SNAPSHOTS);
    let caption = match shown {
        1 => "One sampled configuration: a filled site is occupied, an open one is empty.".to_string(),
        _ => format!("{shown} sampled configurations: a filled site is occupied, an open one is empty."),
    };
    // Large enough to distinguish the sites.
    let least = (places.columns * LEAST).max(60);
    let class = if places.columns > 2 * places.rows { "rows" } else { "tiles" };
    Ok(figure("drawing", &format!("<div class=\"{class}\" style=\"--least:{least}px\">\n{pictures}</div>"), &caption))
}

/// Sites as pixels.
fn image(places: &SitePositions, of: &dyn Fn(usize) -> f64, scale: &Scale) -> Result<String, Fault> {
    let mut values = vec![0.0; places.columns * places.rows];
    for site in 0..places.sites() {
        let [column, row] = places.of(site);
        values[row * places.columns + column] = of(site);
    }
    let address = address(&values, places.columns, scale)?;
    let [width, height] = places.size().map(|side| shown(side, 4));
    Ok(format!("<image href=\"{address}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\"/>\n"))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{chain, square};
    use super::*;
    use crate::vmc::Mean;

    #[test]
    fn every_site_has_its_number_and_every_sample_its_sites() {
        let report = square(4);
        let html = densities(&report).unwrap();
        assert_eq!((html.matches("<circle").count(), html.matches("<title>site (").count()), (16, 16));
        assert_eq!(html.matches("class=\"inside\"").count(), 16);
        let html = snapshots(&report).unwrap();
        let occupied: usize = report.snapshots.iter().flatten().map(|n| usize::from(*n)).sum();
        assert_eq!(html.matches("class=\"full\"").count(), occupied);
        assert_eq!(html.matches("<circle").count(), 16 * report.snapshots.len());
    }

    #[test]
    fn a_chain_is_a_row_of_sites() {
        let html = figures(&chain(12)).unwrap();
        assert!(html.contains("<title>site 11: ") && html.contains("runs to the right") && html.contains("\"rows\""));
    }

    #[test]
    fn many_sites_are_pixels() {
        let mut report = square(4);
        report.lattice = crate::Lattice::square(40, 30);
        report.estimate.observables.density_per_site = vec![Mean { value: 0.3, error: 0.1 }; 1200];
        report.snapshots = vec![vec![1; 1200]];
        let html = figures(&report).unwrap();
        assert_eq!((html.matches("<image").count(), html.matches("<circle").count()), (2, 0));
        assert!(html.len() < 5000 && html.contains("One sampled"), "{}", html.len());
    }
}
