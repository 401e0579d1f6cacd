//! Controls of the Hamiltonian, the wave function and the training.

use eframe::egui::{self, Align2, RichText, Sense, Slider, TextStyle, Ui, vec2};

use crate::mask::Mask;
use crate::settings::{Couplings, Family, Settings};
use crate::theme::{self, TEXT, WEAK, heading, symbols};
use crate::widgets::Places;

/// A slider under its symbol and name. Returns whether the value changed.
fn slider(ui: &mut Ui, [symbol, name, tip]: [&str; 3], slider: Slider<'_>, places: &mut Places) -> bool {
    ui.spacing_mut().slider_width = (ui.available_width() - 62.0).max(80.0);
    theme::line(ui, |ui| {
        let label = ui.label(symbols(symbol, 15.0, TEXT));
        ui.label(RichText::new(name).small().color(WEAK)).on_hover_text(tip);
        label.on_hover_text(tip);
    });
    let response = ui.add(slider);
    places.add(symbol, response.rect);
    response.changed()
}

/// A row of words, one of which is selected, behind its name. Places are `name word`.
fn named<T: PartialEq + Copy>(
    ui: &mut Ui,
    [name, tip]: [&str; 2],
    value: &mut T,
    words: &[(T, &str)],
    places: &mut Places,
) {
    ui.horizontal(|ui| {
        let (rect, response) = ui.allocate_exact_size(vec2(74.0, 20.0), Sense::hover());
        let font = TextStyle::Small.resolve(ui.style());
        ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, name, font, WEAK);
        response.on_hover_text(tip);
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.spacing_mut().button_padding = vec2(5.0, 2.0);
        for (of, word) in words {
            let response = ui.selectable_label(*value == *of, *word);
            places.add(&format!("{name} {word}"), response.rect);
            if response.clicked() {
                *value = *of;
            }
        }
    });
}

/// A row of words, one of which is selected.
fn choice<T: PartialEq + Copy>(ui: &mut Ui, value: &mut T, words: &[(T, &str, &str)], places: &mut Places) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (of, word, tip) in words {
            let response = ui.selectable_label(*value == *of, *word).on_hover_text(*tip);
            places.add(word, response.rect);
            if response.clicked() {
                *value = *of;
            }
        }
    });
}

/// Controls of the Hamiltonian.
pub fn hamiltonian(ui: &mut Ui, settings: &mut Settings, places: &mut Places) {
    heading(ui, "Hamiltonian", "");
    let kinds = [
        (true, "Rydberg atoms", "Atoms in optical tweezers, each in its ground state or a Rydberg state."),
        (
            false,
            "Ising spins",
            "The transverse-field Ising model: spins that prefer to align, and a field that flips them.",
        ),
    ];
    let mut is_rydberg = matches!(settings.couplings, Couplings::Rydberg { .. });
    let before = is_rydberg;
    choice(ui, &mut is_rydberg, &kinds, places);
    if is_rydberg != before {
        settings.couplings = if is_rydberg { Couplings::RYDBERG } else { Couplings::TFIM };
    }
    match &mut settings.couplings {
        Couplings::Rydberg { delta, radius, omega } => {
            ui.add(egui::Label::new(symbols("H = −½Ω Σσ^x − δ Σn + Ω Σ(R_b/r)^6 nn", 12.5, WEAK)));
            let tip = "Detuning of the laser: the energy gained by each excited atom.";
            slider(ui, ["δ", "detuning", tip], number(delta, -2.0..=5.0), places);
            let tip = "Blockade radius in units of the lattice spacing: within it two excited atoms cost more than Ω.";
            slider(ui, ["R_b", "blockade radius / spacing", tip], number(radius, 0.5..=1.9), places);
            let tip = "Rabi frequency: how strongly the laser drives each atom between its two states.";
            slider(ui, ["Ω", "Rabi frequency", tip], number(omega, 0.2..=3.0), places);
        }
        Couplings::Tfim { j, h } => {
            ui.label(symbols("H = −J Σσ^zσ^z − h Σσ^x", 12.5, WEAK));
            let tip = "Coupling of neighbors: positive favors equal spins, negative opposite ones.";
            slider(ui, ["J", "coupling", tip], number(j, -2.0..=2.0), places);
            let tip = "Transverse field, which flips spins. The infinite square lattice orders below h = 3.04 J.";
            slider(ui, ["h", "transverse field", tip], number(h, 0.1..=6.0), places);
        }
    }
}

fn number(value: &mut f64, range: std::ops::RangeInclusive<f64>) -> Slider<'_> {
    Slider::new(value, range).step_by(0.05).fixed_decimals(2)
}

/// Controls of lattice, wave function and training, which need a new trainer.
pub fn model(ui: &mut Ui, settings: &mut Settings, places: &mut Places) {
    heading(ui, "Wave function", "Ψ(σ) = √P(σ), and P(σ) from a network that trains here.");
    let families = [
        (
            Family::Ptf,
            "transformer",
            "A causal transformer that draws one atom after the other, each from all earlier ones.",
        ),
        (Family::Rnn, "recurrent", "A recurrent network (GRU): one state carries what is known of the earlier atoms."),
        (Family::Rbm, "RBM", "A restricted Boltzmann machine, sampled by Markov chains."),
    ];
    choice(ui, &mut settings.family, &families, places);
    let lattices = [([2, 2], "2×2"), ([4, 2], "4×2"), ([4, 4], "4×4"), ([6, 6], "6×6"), ([8, 8], "8×8")];
    named(ui, ["lattice", "Sites along x and y, with open boundaries."], &mut settings.sides, &lattices, places);
    if settings.family != Family::Rbm {
        let tip = "Channels of a token of the transformer, or of the recurrent state.";
        named(ui, ["width", tip], &mut settings.width, &[(16, "16"), (32, "32"), (64, "64")], places);
    }
    if settings.family == Family::Ptf {
        let layers = [(1, "1"), (2, "2"), (3, "3")];
        named(ui, ["layers", "Transformer layers."], &mut settings.layers, &layers, places);
    }
    let tip = "Configurations drawn in each step, from which energy and gradient are estimated.";
    let samples = [(64, "64"), (128, "128"), (256, "256"), (512, "512")];
    named(ui, ["samples", tip], &mut settings.samples, &samples, places);
    let rates = [(1e-3, ".001"), (2e-3, ".002"), (5e-3, ".005"), (1e-2, ".01")];
    named(ui, ["learning rate", "Step size of Adam."], &mut settings.learning_rate, &rates, places);
}

/// Switches that take a part of the transformer away, with what breaks then.
/// Returns whether the sums of [`Mask`] are wanted now.
pub fn ablations(ui: &mut Ui, settings: &mut Settings, mask: &mut Mask, places: &mut Places) -> bool {
    heading(ui, "What breaks without …", "");
    let is_transformer = settings.family == Family::Ptf;
    let switches = ui.add_enabled_ui(is_transformer, |ui| {
        let mut is_single = settings.heads == 1;
        let toggle = ui.checkbox(&mut is_single, "one head");
        places.add("one head", toggle.rect);
        if toggle.changed() {
            settings.heads = if is_single { 1 } else { Settings::default().heads };
        }
        explain(
            ui,
            "A layer then has a single average over the earlier atoms, so near repulsion and far order share it.",
        );
        let mut has_none = !settings.has_positions;
        let toggle = ui.checkbox(&mut has_none, "no positions");
        places.add("no positions", toggle.rect);
        if toggle.changed() {
            settings.has_positions = !has_none;
        }
        explain(
            ui,
            "An atom then sees which states came before it, but not where: a neighbor looks like any other atom.",
        );
        mask.show(ui, settings, places)
    });
    switches.inner
}

/// A weak sentence.
pub fn explain(ui: &mut Ui, text: &str) {
    ui.add(egui::Label::new(RichText::new(text).small().color(WEAK)).wrap());
}
