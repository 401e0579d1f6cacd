//! Panels with lattices: the atoms, and where the heads of the chosen one look.

use eframe::egui::{self, RichText, Sense, Stroke, Ui, vec2};

use crate::lattice_view::{LatticePaint, Mode, Placement, RADIUS};
use crate::settings::{Couplings, Settings};
use crate::theme::{self, ACCENT, CANVAS, COUNTER, LINE, TEXT, WEAK, heading};
use crate::training::Training;
use crate::widgets::Places;

/// What the large lattice shows, and which atom is chosen.
#[derive(Debug, Default)]
pub struct Selection {
    /// The chosen atom.
    pub site: Option<usize>,
    /// Whether mean densities are shown instead of samples.
    pub shows_densities: bool,
    slots: u32,
}

/// Samples that are shown in a second.
const SAMPLES_PER_SECOND: f64 = 2.5;
/// Fraction of the time of a sample in which it fades into the next one.
const FADE: f64 = 0.35;

impl Selection {
    /// Begins a frame.
    pub fn begin_frame(&mut self) {
        self.slots = 0;
    }

    /// Draws a lattice.
    fn paint(&mut self, ui: &Ui, training: &Training, placement: Placement, mode: Mode) {
        let paint = LatticePaint { scene: training.scene.clone(), placement, mode, site: self.site, slot: self.slots };
        self.slots += 1;
        let rect = ui.clip_rect();
        ui.painter().add(egui_wgpu::Callback::new_paint_callback(rect, paint));
    }
}

/// The two samples to show at `time`, and the fraction of the second one.
fn samples_at(time: f64, samples: usize) -> Mode {
    let place = time * SAMPLES_PER_SECOND;
    let number = place.floor() as u64 % samples as u64;
    let fraction = ((place.fract() - (1.0 - FADE)) / FADE).clamp(0.0, 1.0);
    let blend = (fraction * fraction * (3.0 - 2.0 * fraction)) as f32;
    let next = (number + 1) % samples as u64;
    Mode::Samples { pair: [number as u32, next as u32], blend }
}

/// The lattice of atoms.
pub fn atoms(
    ui: &mut Ui,
    training: Option<&Training>,
    settings: &Settings,
    selection: &mut Selection,
    places: &mut Places,
) {
    let is_rydberg = matches!(settings.couplings, Couplings::Rydberg { .. });
    ui.horizontal(|ui| {
        ui.label(theme::semibold(if is_rydberg { "Atoms" } else { "Spins" }, 16.0));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            for (is_density, word, tip) in [
                (true, "mean density", "⟨n⟩ of each atom over all samples of the step"),
                (false, "samples", "configurations drawn from |Ψ|², one after the other"),
            ] {
                let response = ui.selectable_label(selection.shows_densities == is_density, word).on_hover_text(tip);
                places.add(word, response.rect);
                if response.clicked() {
                    selection.shows_densities = is_density;
                }
            }
        });
    });
    // Next to other panels, so that the energy below is in view.
    let most = if ui.available_width() > 420.0 { 0.42 * ui.ctx().content_rect().height() } else { f32::INFINITY };
    let side = ui.available_width().min(most.max(220.0));
    let sides = settings.sides.map(|side| side as f32);
    let height = (side * sides[1] / sides[0]).clamp(0.5 * side, side);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    ui.painter().rect_filled(rect, 8.0, CANVAS);
    let placement = Placement::new(settings.lattice(), rect.shrink(6.0));
    let sites = settings.lattice().sites();
    (0..sites).for_each(|site| {
        places.add(&format!("atom {site}"), egui::Rect::from_center_size(placement.site(site), vec2(8.0, 8.0)))
    });
    for [a, b] in settings.lattice().bonds() {
        ui.painter().line_segment([placement.site(a), placement.site(b)], Stroke::new(1.0, LINE));
    }
    let hovered = response.hover_pos().and_then(|at| placement.site_at(at));
    if response.clicked() {
        let clicked = response.interact_pointer_pos().and_then(|at| placement.site_at(at));
        selection.site = clicked.filter(|_| clicked != selection.site);
    }
    if let (Couplings::Rydberg { radius, .. }, Some(site)) = (settings.couplings, hovered.or(selection.site)) {
        let painter = ui.painter_at(rect);
        let reach = placement.spacing * radius as f32;
        painter.circle(
            placement.site(site),
            reach,
            ACCENT.gamma_multiply(0.05),
            Stroke::new(1.0, ACCENT.gamma_multiply(0.5)),
        );
    }
    if hovered.is_some() {
        ui.ctx().set_cursor_icon(egui::CursorIcon::PointingHand);
    }
    if let Some(training) = training {
        let time = ui.input(|input| input.time);
        let mode = match selection.shows_densities {
            true => Mode::Densities,
            false => samples_at(time, training.settings().samples),
        };
        ui.scope(|ui| {
            ui.shrink_clip_rect(rect);
            selection.paint(ui, training, placement, mode);
        });
    }
    let [bright, dark] = if is_rydberg { ["Rydberg state", "ground state"] } else { ["spin up", "spin down"] };
    theme::line(ui, |ui| {
        legend(ui, ACCENT, bright);
        legend(ui, egui::Color32::from_rgb(41, 54, 82), dark);
        if is_rydberg && (hovered.is_some() || selection.site.is_some()) {
            ui.label(RichText::new("○ blockade radius").small().color(ACCENT));
        }
    });
}

fn legend(ui: &mut Ui, color: egui::Color32, text: &str) {
    let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    ui.painter().circle_filled(rect.center(), 4.5, color);
    ui.label(RichText::new(text).small().color(WEAK));
}

/// Where the heads of the chosen atom look, and its measured correlations.
pub fn attention(ui: &mut Ui, training: Option<&Training>, settings: &Settings, selection: &mut Selection) {
    let Some(training) = training.filter(|training| training.settings().sides == settings.sides) else {
        heading(ui, "Attention and correlation", "");
        return;
    };
    let site = selection.site.filter(|&site| site < settings.lattice().sites());
    selection.site = site;
    let Some(site) = site else {
        heading(
            ui,
            "Attention and correlation",
            "Click an atom to see where every head looks, next to its measured correlations.",
        );
        return;
    };
    let (x, y) = settings.lattice().position(site);
    heading(ui, &format!("Atom ({x}, {y})"), "");
    let width = ui.available_width();
    let lattice = settings.lattice();
    let ratio = lattice.ly as f32 / lattice.lx as f32;
    ui.horizontal_top(|ui| {
        let side = (0.42 * width).min(170.0);
        small(ui, training, selection, vec2(side, side * ratio.clamp(0.5, 1.0)), Mode::Correlations);
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 5.0;
            ui.label(theme::semibold("measured correlation", 13.0));
            let formula = "⟨n_i n_j⟩ − ⟨n_i⟩⟨n_j⟩";
            ui.label(theme::symbols(formula, 14.0, TEXT));
            legend_row(ui, ACCENT, "excited together");
            legend_row(ui, COUNTER, "exclude each other");
            ui.label(RichText::new("relative to the largest one").small().color(WEAK));
        });
    });
    let Some([layers, heads]) = training.attention else {
        ui.add_space(6.0);
        let text = "This wave function has no attention: choose the transformer to see its heads.";
        ui.add(egui::Label::new(RichText::new(text).color(WEAK)).wrap());
        return;
    };
    ui.add_space(4.0);
    ui.label(theme::semibold("where the heads look", 13.0)).on_hover_text(
        "Mean attention weights at the position where this atom is drawn. A causal transformer only sees the atoms drawn \
         before it, column by column from the left.",
    );
    if training.order.first() == Some(&site) {
        let text = "This atom is drawn first: no atom precedes it, so its heads only see the start. Click a later one.";
        ui.add(egui::Label::new(RichText::new(text).small().color(WEAK)).wrap());
    }
    let columns = heads.min(if width < 300.0 { 2 } else { 4 });
    for layer in 0..layers {
        ui.label(RichText::new(format!("layer {}", layer + 1)).size(11.0).color(TEXT));
        for first in (0..heads).step_by(columns as usize) {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing = vec2(6.0, 3.0);
                let side = ((width - 6.0 * (columns - 1) as f32) / columns as f32).min(150.0);
                for head in first..(first + columns).min(heads) {
                    ui.vertical(|ui| {
                        let mode = Mode::Attention { layer: layer as usize, head };
                        small(ui, training, selection, vec2(side, side * ratio.clamp(0.5, 1.0)), mode);
                        let text = format!("head {}", head + 1);
                        ui.label(RichText::new(text).size(11.0).color(WEAK));
                    });
                }
            });
        }
    }
}

fn legend_row(ui: &mut Ui, color: egui::Color32, text: &str) {
    theme::line(ui, |ui| legend(ui, color, text));
}

/// A small lattice.
fn small(ui: &mut Ui, training: &Training, selection: &mut Selection, size: egui::Vec2, mode: Mode) {
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    ui.painter().rect_filled(rect, 6.0, CANVAS);
    if !ui.is_rect_visible(rect) {
        return;
    }
    let lattice = training.settings().lattice();
    let placement = Placement::new(lattice, rect.shrink(2.0));
    for site in 0..lattice.sites() {
        ui.painter().circle_stroke(placement.site(site), placement.spacing * RADIUS, Stroke::new(1.0, LINE));
    }
    ui.scope(|ui| {
        ui.shrink_clip_rect(rect);
        selection.paint(ui, training, placement, mode);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_shown_and_fades_into_the_next() {
        let pair = |time: f64| match samples_at(time, 3) {
            Mode::Samples { pair, blend } => (pair, blend),
            other => panic!("{other:?}"),
        };
        assert_eq!(pair(0.0), ([0, 1], 0.0));
        assert_eq!(pair(2.5 / SAMPLES_PER_SECOND).0, [2, 0]);
        assert!((pair(0.999_999 / SAMPLES_PER_SECOND).1 - 1.0).abs() < 1e-3);
    }
}
