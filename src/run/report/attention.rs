//! Attention weights: the matrix of every head, and the weights of one patch on the lattice.

use super::Report;
use super::drawing::{HeatMap, Patches, Scale, SitePositions};
use super::markup::{figure, shown};
use crate::model::AttentionKind;
use crate::plot_style::Fault;
use crate::vmc::AttentionMaps;

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
    let mut html = introduction(maps) + &key(&patches, chosen, &places);
    let start = usize::from(maps.kind == AttentionKind::Causal);
    html += &format!("<div id=\"attention-heads\" data-start=\"{start}\">\n");
    for (layer, heads) in maps.layers.iter().enumerate() {
        html += &format!("<h3>Layer {}</h3>\n<div class=\"heads\">\n", layer + 1);
        for (head, map) in heads.iter().enumerate() {
            html += &Head { maps, map, patches: &patches, chosen }.figure([layer, head].map(|at| at + 1))?;
        }
        html += "</div>\n";
    }
    Ok(html + "</div>\n")
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

fn key(patches: &Patches<'_>, chosen: usize, places: &SitePositions) -> String {
    let mut svg = places.svg("lattice choice", 0.0, "role=\"radiogroup\" aria-label=\"Patch\" id=\"patch-key\"");
    svg += &patches.shapes();
    for patch in 0..patches.patches.len() {
        let state = match patch == chosen {
            true => "aria-checked=\"true\" tabindex=\"0\"",
            false => "aria-checked=\"false\" tabindex=\"-1\"",
        };
        svg += &format!(
            "<use href=\"#patch-{patch}\" class=\"patch\" role=\"radio\" aria-label=\"P{patch}\" \
             data-choice=\"{patch}\" {state}><title>P{patch}</title></use>\n"
        );
    }
    svg += &format!("<use href=\"#patch-lines\" class=\"lines\"/>\n{}</svg>", patches.names());
    let caption = format!(
        "The patches, in the order of their numbers. The lattices below show the weights of \
         <output id=\"chosen-patch\">P{chosen}</output>, which is outlined. {} \
         <span class=\"scripted\">Choose another patch here, in a lattice, or as a row of a matrix.</span>",
        places.described()
    );
    figure("drawing key", &svg, &caption)
}

/// Attention head: its matrix and the row of the chosen patch.
struct Head<'a> {
    maps: &'a AttentionMaps,
    map: &'a [f64],
    patches: &'a Patches<'a>,
    chosen: usize,
}

impl Head<'_> {
    fn scale(&self) -> Scale {
        let values = self.map.iter().copied();
        match self.maps.kind {
            AttentionKind::Relative => Scale::signed(values).by_root(),
            AttentionKind::Causal | AttentionKind::Full => Scale::positive(values).by_root(),
        }
    }

    fn figure(&self, [layer, head]: [usize; 2]) -> Result<String, Fault> {
        let scale = self.scale();
        let size = self.maps.patches.len();
        let rows: Vec<String> = (0..size).map(|patch| format!("P{patch}")).collect();
        let columns = match self.maps.kind {
            AttentionKind::Causal => [vec!["start".to_string()], rows[..size - 1].to_vec()].concat(),
            AttentionKind::Full | AttentionKind::Relative => rows.clone(),
        };
        let label = format!("Attention weights of layer {layer}, head {head}: one row per patch");
        let map =
            HeatMap { values: self.map, rows: &rows, columns: &columns, scale, chosen: self.chosen, label: &label };
        let row = &self.map[self.chosen * size..][..size];
        let places = self.patches.places;
        let shape = if places.columns > 2 * places.rows { "below" } else { "beside" };
        let inside = format!(
            "<div class=\"{shape}\">\n{}<div class=\"look\">\n{}</div>\n</div>\n{}",
            map.svg()?,
            self.lattice(row, &scale),
            scale.legend("weight"),
        );
        let most = row.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        let said = most.map_or(String::new(), |(column, weight)| {
            let to = if columns[column] == "start" { "the start" } else { &columns[column] };
            format!("P{} attends most to {to} ({})", self.chosen, shown(*weight, 2))
        });
        let caption = format!("<b>Head {head}</b> <output>{said}</output>");
        Ok(figure("head", &inside, &caption))
    }

    /// Draws the weights of a row on the lattice.
    fn lattice(&self, row: &[f64], scale: &Scale) -> String {
        let places = self.patches.places;
        let (start, weights) = match self.maps.kind {
            AttentionKind::Causal => (Some(row[0]), &row[1..]),
            AttentionKind::Full | AttentionKind::Relative => (None, row),
        };
        let mut svg = String::new();
        if let Some(weight) = start {
            svg += &format!(
                "<div class=\"start\"><svg width=\"14\" height=\"14\" viewBox=\"0 0 14 14\" aria-hidden=\"true\">\
                 <rect data-tile=\"start\" width=\"14\" height=\"14\" {}/></svg> start</div>\n",
                scale.fill(weight)
            );
        }
        svg += &places.svg("lattice tiles-of-patches", 0.0, "role=\"img\" aria-label=\"The same row on the lattice\"");
        for patch in 0..self.patches.patches.len() {
            let weight = weights.get(patch).copied().unwrap_or(0.0);
            svg += &format!(
                "<use href=\"#patch-{patch}\" data-tile=\"{patch}\" {}><title>P{patch}: {}</title></use>\n",
                scale.fill(weight),
                shown(weight, 2)
            );
        }
        let chosen = self.chosen;
        svg + &format!(
            "<use href=\"#patch-lines\" class=\"lines\"/>\n<use href=\"#patch-{chosen}\" class=\"chosen\"/>\n</svg>\n"
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
        for text in ["Layer 2", "Head 4", "P3 attends most to", ">start<", "data-start=\"1\"", "drawn before"] {
            assert!(html.contains(text), "{text}");
        }
        assert_eq!(html.matches(">P3</text>").count(), 1 + 8, "no column is named after the last patch");
    }

    #[test]
    fn relative_weights_have_signs_and_a_central_patch() {
        let mut report = square(8);
        report.attention = Some(relative(&report.lattice, 2, 4));
        let html = section(&report).unwrap();
        assert!(html.contains("class=\"plus\"") && html.contains("class=\"minus\"") && !html.contains(">start<"));
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
