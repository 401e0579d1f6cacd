//! Attention weights: the matrix of every head, and the weights of one patch on the lattice.

use super::Report;
use super::drawing::{HeatMap, Patches, Scale, SitePositions};
use super::markup::{coordinate, figure, shown};
use crate::model::AttentionKind;
use crate::plot_style::Fault;
use crate::vmc::AttentionMaps;

/// Side length of a matrix in points: that of a small one, and that of one weight in a large one.
const SIDE: f64 = 96.0;
const CELL: f64 = 2.5;
/// Side length of the largest matrix.
const LARGEST: f64 = 256.0;

pub(super) fn section(report: &Report) -> Result<String, Fault> {
    let Some(maps) = &report.attention else {
        return Ok("<p>This wave function has no attention.</p>\n".into());
    };
    let size = maps.patches.len();
    if size == 0 || maps.layers.iter().flatten().any(|map| map.len() != size * size) {
        return Err(format!("weights of attention are not those of {size} patches").into());
    }
    let places = SitePositions::new(&report.lattice);
    let patches = Patches { places: &places, patches: &maps.patches };
    let chosen = match maps.kind {
        AttentionKind::Causal => size - 1,
        AttentionKind::Full | AttentionKind::Relative => places.nearest_to_middle(maps.patches.iter().cloned()),
    };
    let heads = Heads { maps, patches: &patches, chosen, scale: scale(maps) };
    let caption = introduction(maps) + &heads.key_caption() + &heads.scale.legend("weight");
    let mut html = figure("key", &heads.key(), &caption);
    let start = usize::from(maps.kind == AttentionKind::Causal);
    let (greatest, signed) = (heads.scale.greatest(), heads.scale.signed);
    html += &format!(
        "<div id=\"attention-heads\" data-start=\"{start}\" data-greatest=\"{greatest:e}\" data-signed=\"{signed}\">\n"
    );
    for (layer, maps) in maps.layers.iter().enumerate() {
        html += &heads.layer(layer + 1, maps)?;
    }
    Ok(html + "</div>\n")
}

/// The color scale of all heads.
fn scale(maps: &AttentionMaps) -> Scale {
    let values = maps.layers.iter().flatten().flatten().copied();
    match maps.kind {
        AttentionKind::Relative => Scale::signed(values).by_root(),
        AttentionKind::Causal | AttentionKind::Full => Scale::positive(values).by_root(),
    }
}

fn introduction(maps: &AttentionMaps) -> String {
    let what = match maps.kind {
        AttentionKind::Causal => {
            "Row P<sub>i</sub> belongs to the sampling of patch i: its columns are the weights of the start token and \
             of each patch drawn before, which add up to 1."
        }
        AttentionKind::Full => {
            "Row P<sub>i</sub> is patch i: its columns are its weights for each patch, which add up to 1."
        }
        AttentionKind::Relative => {
            "Row P<sub>i</sub> is patch i: its columns are its weights for each patch. Weights have both signs and \
             depend only on the relative position of two patches."
        }
    };
    let samples = match maps.samples {
        0 => "They are the same for every sample.".to_string(),
        1 => "They are those of one sample.".to_string(),
        samples => format!("They are means over {samples} samples."),
    };
    format!(
        "<p>Attention weights show which patches the wave function combines, which is one way to see the origin of the \
         correlations between sites. {what} {samples} Colors show the square root of a weight, so that small weights \
         are visible next to large ones.</p>\n"
    )
}

/// Attention heads, drawn with the row of one chosen patch.
struct Heads<'a> {
    maps: &'a AttentionMaps,
    patches: &'a Patches<'a>,
    chosen: usize,
    scale: Scale,
}

impl Heads<'_> {
    /// Draws the lattice of patches, one of which is chosen.
    fn key(&self) -> String {
        let places = self.patches.places;
        let mut svg = places.svg("lattice choice", 0.0, "role=\"radiogroup\" aria-label=\"Patch\" id=\"patch-key\"");
        svg += &self.patches.shapes();
        for patch in 0..self.patches.patches.len() {
            let state = match patch == self.chosen {
                true => "aria-checked=\"true\" tabindex=\"0\"",
                false => "aria-checked=\"false\" tabindex=\"-1\"",
            };
            svg += &format!(
                "<use href=\"#patch-{patch}\" class=\"patch\" role=\"radio\" aria-label=\"P{patch}\" \
                 data-choice=\"{patch}\" {state}><title>P{patch}</title></use>\n"
            );
        }
        svg + &format!("<use href=\"#patch-lines\" class=\"lines\"/>\n{}</svg>\n", self.patches.names())
    }

    fn key_caption(&self) -> String {
        format!(
            "<p>The lattice has the numbers of the patches. {} The lattices below show the weights of \
             <output id=\"chosen-patch\">P{}</output>, which is outlined; the largest one is next to the name of the \
             head. <span class=\"scripted\">Choose another patch here, in a lattice, or as a row of a matrix.</span></p>\n",
            self.patches.places.described(),
            self.chosen,
        )
    }

    /// Draws the heads of a layer side by side.
    fn layer(&self, layer: usize, maps: &[Vec<f64>]) -> Result<String, Fault> {
        let mut heads = String::new();
        for (head, map) in maps.iter().enumerate() {
            heads += &self.head(&format!("layer {layer}, head {}", head + 1), head + 1, map)?;
        }
        let side = (CELL * self.maps.patches.len() as f64).clamp(SIDE, LARGEST);
        let [least, room] = [HeatMap::width(side), HeatMap::room(side)].map(coordinate);
        let caption = format!("<b>Layer {layer}</b>: the matrix of each head, and its outlined row on the lattice.");
        let style = format!("--least:{least}px;--room:{room}%");
        Ok(figure("layer", &format!("<div class=\"heads\" style=\"{style}\">\n{heads}</div>"), &caption))
    }

    /// Draws the matrix of a head and the row of the chosen patch.
    fn head(&self, name: &str, number: usize, map: &[f64]) -> Result<String, Fault> {
        let size = self.maps.patches.len();
        let rows: Vec<String> = (0..size).map(|patch| format!("P{patch}")).collect();
        let columns = match self.maps.kind {
            AttentionKind::Causal => [vec!["start".to_string()], rows[..size - 1].to_vec()].concat(),
            AttentionKind::Full | AttentionKind::Relative => rows.clone(),
        };
        let row = &map[self.chosen * size..][..size];
        let most = row.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        let most = most.map_or(String::new(), |(column, weight)| format!("{} {}", columns[column], shown(*weight, 2)));
        let matrix = HeatMap {
            side: (CELL * size as f64).clamp(SIDE, LARGEST),
            values: map,
            rows: &rows,
            columns: &columns,
            scale: self.scale,
            chosen: self.chosen,
            label: &format!("Attention weights of {name}: one row per patch"),
        };
        Ok(format!(
            "<div class=\"head\">\n<p><b>Head {number}</b> <output>{most}</output></p>\n{}{}</div>\n",
            matrix.svg()?,
            self.lattice(row)
        ))
    }

    /// Draws the weights of a row on the lattice, with that of the start token to the left of it.
    fn lattice(&self, row: &[f64]) -> String {
        let places = self.patches.places;
        let (start, weights) = match self.maps.kind {
            AttentionKind::Causal => (Some(row[0]), &row[1..]),
            AttentionKind::Full | AttentionKind::Relative => (None, row),
        };
        let class = if places.columns > 2 * places.rows { "row wide" } else { "row" };
        let mut svg = format!("<div class=\"{class}\">\n<div class=\"start\">");
        if let Some(weight) = start {
            svg += &format!(
                "<svg viewBox=\"0 0 14 14\" aria-hidden=\"true\"><rect data-tile=\"start\" width=\"14\" height=\"14\" \
                 {}/></svg>start",
                self.scale.fill(weight)
            );
        }
        svg += "</div>\n";
        svg += &places.svg("lattice tiles-of-patches", 0.0, "role=\"img\" aria-label=\"The same row on the lattice\"");
        for patch in 0..self.patches.patches.len() {
            let weight = weights.get(patch).copied().unwrap_or(0.0);
            svg += &format!(
                "<use href=\"#patch-{patch}\" data-tile=\"{patch}\" {}><title>P{patch}: {}</title></use>\n",
                self.scale.fill(weight),
                shown(weight, 2)
            );
        }
        let chosen = self.chosen;
        svg + &format!(
            "<use href=\"#patch-lines\" class=\"lines\"/>\n<use href=\"#patch-{chosen}\" class=\"chosen\"/>\n\
             </svg>\n</div>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{causal, chain, relative, square};
    use super::*;

    #[test]
    fn every_head_has_its_matrix_and_its_lattice() {
        let mut report = square(4);
        report.attention = Some(causal(&report.lattice, [2, 2], 2, 4));
        let html = section(&report).unwrap();
        assert_eq!((html.matches("<image").count(), html.matches("data-tile=").count()), (8, 8 * (4 + 1)));
        assert_eq!(html.matches("class=\"chosen\"").count(), 16);
        for text in ["Layer 2", "Head 4", "start</div>", "data-start=\"1\"", "data-signed=\"false\"", "drawn before"] {
            assert!(html.contains(text), "{text}");
        }
        assert_eq!(html.matches("class=\"legend").count(), 1);
        assert_eq!(html.matches("<figure class=\"layer\"").count(), 2);
    }

    #[test]
    fn relative_weights_have_signs_and_a_central_patch() {
        let mut report = square(8);
        report.attention = Some(relative(&report.lattice, 2, 4));
        let html = section(&report).unwrap();
        assert!(html.contains("class=\"plus\"") && html.contains("class=\"minus\"") && !html.contains("start</div>"));
        assert!(html.contains("<output id=\"chosen-patch\">P5</output>") && html.contains("same for every sample"));
    }

    #[test]
    fn matrices_that_do_not_fit_and_wave_functions_without_attention_are_told() {
        let mut report = chain(12);
        report.attention.as_mut().unwrap().layers[0][0].pop();
        assert!(section(&report).unwrap_err().to_string().contains("patches"));
        report.attention = None;
        assert!(section(&report).unwrap().contains("no attention"));
    }
}
