//! Colors, fonts and spacing.

use std::sync::Arc;

use eframe::egui::{
    self, Align, Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, RichText, Stroke,
    TextFormat, TextStyle, text::LayoutJob, vec2,
};

/// Background of the window.
pub const BACKGROUND: Color32 = Color32::from_rgb(10, 13, 20);
/// Background of panels.
pub const CARD: Color32 = Color32::from_rgb(17, 22, 33);
/// Background of plots and lattices.
pub const CANVAS: Color32 = Color32::from_rgb(12, 16, 25);
/// Lines around panels and of grids.
pub const LINE: Color32 = Color32::from_rgb(32, 40, 56);
/// Text.
pub const TEXT: Color32 = Color32::from_rgb(226, 232, 240);
/// Explanations and labels.
pub const WEAK: Color32 = Color32::from_rgb(139, 152, 173);
/// Accent: excited atoms, the energy, positive correlations.
pub const ACCENT: Color32 = Color32::from_rgb(255, 179, 71);
/// Its counterpart: atoms in the ground state, negative correlations.
pub const COUNTER: Color32 = Color32::from_rgb(92, 158, 255);
/// Errors and warnings.
pub const WARNING: Color32 = Color32::from_rgb(255, 122, 110);

/// Space between panels.
pub const GAP: f32 = 12.0;

/// Family of headings.
pub const SEMIBOLD: &str = "semibold";

/// Inter, and Hack for commands and for characters that Inter lacks.
fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::empty();
    for (name, bytes) in [
        ("Inter", include_bytes!("../fonts/Inter-Regular.otf").as_slice()),
        ("Inter semibold", include_bytes!("../fonts/Inter-SemiBold.otf").as_slice()),
        ("Hack", include_bytes!("../fonts/Hack-Regular.ttf").as_slice()),
    ] {
        fonts.font_data.insert(name.into(), Arc::new(FontData::from_static(bytes)));
    }
    for (family, names) in [
        (FontFamily::Proportional, ["Inter", "Hack"]),
        (FontFamily::Monospace, ["Hack", "Inter"]),
        (FontFamily::Name(SEMIBOLD.into()), ["Inter semibold", "Hack"]),
    ] {
        fonts.families.insert(family, names.map(String::from).to_vec());
    }
    fonts
}

/// Semibold text.
pub fn semibold(text: impl Into<String>, size: f32) -> RichText {
    RichText::new(text).font(FontId::new(size, FontFamily::Name(SEMIBOLD.into()))).color(TEXT)
}

/// Sets the style of all widgets.
pub fn apply(context: &egui::Context) {
    context.set_fonts(fonts());
    context.set_theme(egui::Theme::Dark);
    context.all_styles_mut(|style| {
        style.text_styles = [
            (TextStyle::Heading, FontId::proportional(16.0)),
            (TextStyle::Body, FontId::proportional(13.0)),
            (TextStyle::Button, FontId::proportional(13.0)),
            (TextStyle::Small, FontId::proportional(12.0)),
            (TextStyle::Monospace, FontId::monospace(12.0)),
        ]
        .into();
        style.spacing.item_spacing = vec2(8.0, 7.0);
        style.spacing.button_padding = vec2(10.0, 5.0);
        style.spacing.interact_size.y = 24.0;
        style.spacing.slider_rail_height = 4.0;
        style.spacing.tooltip_width = 300.0;
        style.interaction.selectable_labels = false;
        style.interaction.tooltip_delay = 0.25;
        let visuals = &mut style.visuals;
        *visuals = egui::Visuals::dark();
        visuals.panel_fill = BACKGROUND;
        visuals.window_fill = CARD;
        visuals.window_stroke = Stroke::new(1.0, LINE);
        visuals.extreme_bg_color = CANVAS;
        visuals.faint_bg_color = CARD;
        visuals.weak_text_color = Some(WEAK);
        visuals.hyperlink_color = COUNTER;
        visuals.warn_fg_color = WARNING;
        visuals.error_fg_color = WARNING;
        visuals.selection.bg_fill = Color32::from_rgb(84, 62, 30);
        visuals.selection.stroke = Stroke::new(1.0, ACCENT);
        visuals.slider_trailing_fill = true;
        visuals.handle_shape = egui::style::HandleShape::Circle;
        let widgets = &mut visuals.widgets;
        let fills = [
            (&mut widgets.inactive, Color32::from_rgb(30, 38, 54), TEXT),
            (&mut widgets.hovered, Color32::from_rgb(42, 52, 72), Color32::WHITE),
            (&mut widgets.active, Color32::from_rgb(54, 66, 90), Color32::WHITE),
            (&mut widgets.open, Color32::from_rgb(30, 38, 54), TEXT),
        ];
        for (widget, fill, text) in fills {
            widget.bg_fill = fill;
            widget.weak_bg_fill = fill;
            widget.bg_stroke = Stroke::NONE;
            widget.fg_stroke = Stroke::new(1.0, text);
            widget.corner_radius = CornerRadius::same(6);
            widget.expansion = 0.0;
        }
        widgets.noninteractive.fg_stroke = Stroke::new(1.0, TEXT);
        widgets.noninteractive.bg_stroke = Stroke::new(1.0, LINE);
    });
}

/// Frame of a panel.
pub fn card() -> egui::Frame {
    egui::Frame::new()
        .fill(CARD)
        .stroke(Stroke::new(1.0, LINE))
        .corner_radius(CornerRadius::same(10))
        .inner_margin(Margin::same(14))
}

/// Text in which `_` makes the next character a subscript, and `^` a superscript, such as `R_b`.
pub fn symbols(text: &str, size: f32, color: Color32) -> LayoutJob {
    let mut job = LayoutJob::default();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let (character, size, valign) = match character {
            '_' => (characters.next(), 0.72 * size, Align::BOTTOM),
            '^' => (characters.next(), 0.72 * size, Align::TOP),
            _ => (Some(character), size, Align::BOTTOM),
        };
        let font_id = FontId::proportional(size);
        let format = TextFormat { font_id, color, valign, ..TextFormat::default() };
        job.append(character.unwrap_or_default().encode_utf8(&mut [0; 4]), 0.0, format);
    }
    job
}

/// A row of small text.
pub fn line(ui: &mut egui::Ui, add: impl FnOnce(&mut egui::Ui)) {
    let layout = egui::Layout::left_to_right(Align::Center);
    ui.allocate_ui_with_layout(vec2(ui.available_width(), 18.0), layout, |ui| {
        ui.spacing_mut().interact_size.y = 16.0;
        add(ui);
    });
}

/// A heading with one line of explanation.
pub fn heading(ui: &mut egui::Ui, title: &str, explanation: &str) {
    ui.label(semibold(title, 16.0));
    if !explanation.is_empty() {
        ui.add(egui::Label::new(egui::RichText::new(explanation).small().color(WEAK)).wrap());
    }
}
