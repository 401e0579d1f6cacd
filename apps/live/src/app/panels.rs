//! The part of a frame that paints: pages and their panels.

use eframe::egui::{self, RichText, ScrollArea, Slider, Ui, vec2};
use ketformer::gpu::Gpu;

use super::{LiveApp, Page};
use crate::doctor::Doctor;
use crate::energy_plot::{self, Quantity};
use crate::task::Task;
use crate::theme::{self, ACCENT, GAP, TEXT, WARNING, WEAK, card, heading};
use crate::{controls, exact, lattice_panel, storage};

/// A panel of the app, of a width.
type Card = fn(&mut LiveApp, &mut Ui, f32);

impl LiveApp {
    /// The part of a frame that paints.
    pub fn show(&mut self, ui: &mut Ui) {
        self.frames += 1;
        self.places.clear();
        self.selection.begin_frame();
        let width = ui.available_width();
        let margin = if width < 600.0 { 8.0 } else { 16.0 };
        egui::Frame::new().fill(theme::BACKGROUND).inner_margin(egui::Margin::same(margin as i8)).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            self.header(ui);
            ui.add_space(GAP - 4.0);
            self.open_dropped(ui);
            match self.page {
                Page::Wave => self.wave_page(ui),
                Page::Sorter => self.sorter_page(ui),
                Page::Doctor => {
                    let doctor = self.doctor.get_or_insert_with(Doctor::default);
                    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| card().show(ui, |ui| doctor.show(ui)));
                }
                Page::Bench => {
                    let (bench, places) = (&mut self.bench, &mut self.places);
                    ScrollArea::vertical()
                        .auto_shrink(false)
                        .show(ui, |ui| card().show(ui, |ui| bench.show(ui, places)));
                }
            }
        });
        if let Some(build) = &mut self.build {
            build.is_shown = true;
        }
    }

    fn header(&mut self, ui: &mut Ui) {
        let is_narrow = ui.available_width() < 600.0;
        ui.horizontal(|ui| {
            let size = if is_narrow { 17.0 } else { 20.0 };
            ui.label(theme::semibold("Ketformer", size));
            ui.label(RichText::new("Live").size(size).color(ACCENT));
            ui.add_space(if is_narrow { 0.0 } else { 10.0 });
            let pages = [
                (Page::Wave, "wave function"),
                (Page::Sorter, "GPT"),
                (Page::Bench, "bench"),
                (Page::Doctor, "doctor"),
            ];
            for (page, word) in pages {
                let response = ui.selectable_label(self.page == page, word);
                self.places.add(word, response.rect);
                if response.clicked() {
                    self.page = page;
                }
            }
            if !is_narrow {
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| adapter(ui, &self.gpu));
            }
        });
        if is_narrow {
            ui.horizontal_wrapped(|ui| adapter(ui, &self.gpu));
        }
        if let Some(message) = self.error() {
            banner(ui, &message, |ui| {
                let response = ui.button("restart");
                self.places.add("restart", response.rect);
                if response.clicked() {
                    self.restart();
                }
            });
        } else if let Some(notice) = self.notice.clone() {
            ui.horizontal(|ui| {
                ui.label(RichText::new(notice).small().color(ACCENT));
                if ui.small_button("ok").clicked() {
                    self.notice = None;
                }
            });
        }
    }

    fn open_dropped(&mut self, ui: &Ui) {
        let Some(file) = ui.input(|input| input.raw.dropped_files.first().cloned()) else { return };
        #[cfg(target_arch = "wasm32")]
        let read = async move { file.bytes_async().await };
        #[cfg(not(target_arch = "wasm32"))]
        let read = async move { file.bytes() };
        self.opening = Some(Task::new(read));
    }

    fn sorter_page(&mut self, ui: &mut Ui) {
        let Some(sorter) = &mut self.sorter else { return };
        let places = &mut self.places;
        let width = ui.available_width();
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            if width < 900.0 {
                panel(ui, width, |ui| sorter.words(ui));
                ui.add_space(GAP - ui.spacing().item_spacing.y);
                panel(ui, width, |ui| sorter.training(ui, places));
                return;
            }
            let half = 0.5 * (width - GAP);
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = GAP;
                ui.vertical(|ui| panel(ui, half, |ui| sorter.words(ui)));
                ui.vertical(|ui| panel(ui, half, |ui| sorter.training(ui, places)));
            });
        });
    }

    fn wave_page(&mut self, ui: &mut Ui) {
        let width = ui.available_width();
        // Below it the panels of a column do not fit beside those of the others.
        if width < 1020.0 {
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = GAP;
                let panels = [
                    Self::atoms_card,
                    Self::hamiltonian_card,
                    Self::energy_card,
                    Self::attention_card,
                    Self::model_card,
                    Self::run_card,
                ];
                for panel in panels {
                    panel(self, ui, width);
                }
            });
            return;
        }
        let left = (0.235 * width).clamp(294.0, 320.0);
        let right = (0.32 * width).clamp(330.0, 460.0);
        let middle = width - left - right - 2.0 * GAP;
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = GAP;
            let columns: [(&str, f32, &[Card]); 3] = [
                ("left", left, &[Self::hamiltonian_card, Self::model_card]),
                ("middle", middle, &[Self::atoms_card, Self::energy_card]),
                ("right", right, &[Self::attention_card, Self::run_card]),
            ];
            let height = ui.available_height();
            for (name, width, panels) in columns {
                let layout = egui::Layout::top_down(egui::Align::Min);
                ui.allocate_ui_with_layout(vec2(width, height), layout, |ui| {
                    ScrollArea::vertical().id_salt(name).auto_shrink(false).show(ui, |ui| {
                        ui.spacing_mut().item_spacing.y = GAP;
                        panels.iter().for_each(|panel| panel(self, ui, width));
                    });
                });
            }
        });
    }

    fn hamiltonian_card(&mut self, ui: &mut Ui, width: f32) {
        panel(ui, width, |ui| {
            controls::hamiltonian(ui, &mut self.settings, &mut self.places);
        });
    }

    fn model_card(&mut self, ui: &mut Ui, width: f32) {
        panel(ui, width, |ui| {
            controls::model(ui, &mut self.settings, &mut self.places);
            ui.add_space(4.0);
            if controls::ablations(ui, &mut self.settings, &mut self.mask, &mut self.places) {
                self.kept_at = None;
            }
        });
    }

    fn atoms_card(&mut self, ui: &mut Ui, width: f32) {
        let is_building = self.build.is_some() || self.training.is_none();
        let response = panel(ui, width, |ui| {
            let training = self.training.as_ref().filter(|training| training.settings().sides == self.settings.sides);
            lattice_panel::atoms(ui, training, &self.settings, &mut self.selection, &mut self.places);
        });
        if is_building {
            let text = "compiling kernels …";
            let font = egui::FontId::proportional(15.0);
            ui.painter().text(response.rect.center(), egui::Align2::CENTER_CENTER, text, font, TEXT);
        }
    }

    fn attention_card(&mut self, ui: &mut Ui, width: f32) {
        panel(ui, width, |ui| {
            lattice_panel::attention(ui, self.training.as_ref(), &self.settings, &mut self.selection);
        });
    }

    fn energy_card(&mut self, ui: &mut Ui, width: f32) {
        panel(ui, width, |ui| {
            ui.horizontal(|ui| {
                ui.label(theme::semibold("Energy per site", 16.0));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.spacing_mut().item_spacing.x = 4.0;
                    for (quantity, word) in [(Quantity::Error, "error"), (Quantity::Energy, "E/N")] {
                        let response = ui.selectable_label(self.quantity == quantity, word);
                        self.places.add(word, response.rect);
                        if response.clicked() {
                            self.quantity = quantity;
                        }
                    }
                });
            });
            self.figures(ui);
            let height = (0.24 * ui.ctx().content_rect().height()).clamp(150.0, 260.0);
            energy_plot::show(ui, &self.history, self.quantity, vec2(ui.available_width(), height));
        });
    }

    /// Energy, exact energy and times as numbers.
    fn figures(&mut self, ui: &mut Ui) {
        let number = |value: Option<f64>| value.map_or("—".into(), |value| format!("{value:.4}").replace('-', "−"));
        let history = &self.history;
        let error = match history.error() {
            Some(error) => format!("{:.2} %", 100.0 * error),
            None => "—".into(),
        };
        let reached = |fraction: f64| match history.reached(fraction) {
            Some((steps, seconds)) => format!("{seconds:.1} s · {steps} steps"),
            None => "—".into(),
        };
        let exact_tip = if exact::is_known(&self.settings) {
            "Ground-state energy by exact diagonalization of all 2ᴺ configurations, divided by N."
        } else {
            "Too many sites to diagonalize all 2ᴺ configurations here."
        };
        let figures = [
            (
                "E/N",
                number(history.last().map(|point| point.mean)),
                "Mean local energy over the samples of the last 20 steps, per site.",
            ),
            ("exact", number(history.exact()), exact_tip),
            ("error", error, "Distance from the exact energy, relative to it."),
            ("to 1 %", reached(0.01), "Training until the mean of 20 steps is within 1 % of the exact energy."),
            ("to 0.1 %", reached(0.001), "Training until the mean of 20 steps is within 0.1 % of the exact energy."),
        ];
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 18.0;
            for (name, value, tip) in figures {
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = 1.0;
                    ui.label(RichText::new(name).size(11.0).color(WEAK));
                    ui.label(RichText::new(value).size(14.0).color(TEXT));
                })
                .response
                .on_hover_text(tip);
            }
        });
    }

    fn run_card(&mut self, ui: &mut Ui, width: f32) {
        panel(ui, width, |ui| {
            heading(ui, "Run", "");
            ui.horizontal_wrapped(|ui| {
                let word = if self.is_paused { "train" } else { "pause" };
                let response = ui.button(word);
                self.places.add("pause", response.rect);
                if response.clicked() {
                    self.is_paused = !self.is_paused;
                }
                let response = ui.button("reset").on_hover_text("Start again from the initial weights of the seed.");
                self.places.add("reset", response.rect);
                if response.clicked() {
                    self.reset();
                }
                let tip = "The weights as a safetensors file, which `ketformer eval` opens.";
                let response = ui.button("save weights").on_hover_text(tip);
                self.places.add("save weights", response.rect);
                if response.clicked() {
                    self.export();
                }
                ui.label(RichText::new("drop a file to open it").small().color(WEAK));
            });
            let parameters = self.training.as_ref().map_or(0, |training| training.parameters);
            ui.label(RichText::new(format!("step {} · {parameters} parameters", self.history.steps())).color(WEAK));
            ui.horizontal(|ui| {
                let tip = "Time of a frame: training takes what painting leaves of it. Longer frames are fewer, and train more.";
                ui.label(RichText::new("frame time").small().color(WEAK)).on_hover_text(tip);
                ui.spacing_mut().slider_width = (ui.available_width() - 150.0).clamp(60.0, 160.0);
                let response = ui
                    .add(Slider::new(&mut self.pacing.budget, 8.0..=400.0).logarithmic(true).fixed_decimals(0).suffix(" ms"));
                self.places.add("frame time", response.rect);
            });
            let (frame, training) = (self.pacing.mean(), self.pacing.share());
            let frames = 1e3 / frame.max(1e-3);
            let text = format!("frames of {frame:.0} ms, {training:.0} of them training · {frames:.0} per second");
            ui.label(RichText::new(text).small().color(WEAK));
            for (name, command) in [
                ("the same run on the command line", self.train_command()),
                ("its weights, evaluated", self.settings.eval_command(storage::FILE)),
            ] {
                ui.horizontal(|ui| {
                    ui.label(RichText::new(name).small().color(WEAK));
                    if ui.small_button("copy").clicked() {
                        ui.ctx().copy_text(command.clone());
                    }
                });
                ui.add(egui::Label::new(RichText::new(command).monospace().size(11.0).color(TEXT)).wrap());
            }
        });
    }
}

fn adapter(ui: &mut Ui, gpu: &Gpu) {
    let info = gpu.info();
    let text = format!("{} · {}", gpu.name(), info.backend);
    ui.label(RichText::new(text).small().color(WEAK)).on_hover_text(format!("{} {}", info.driver, info.driver_info));
    if gpu.is_software() {
        ui.label(RichText::new("software adapter: slow").small().color(WARNING))
            .on_hover_text("No GPU was found: the kernels run on the processor. On a GPU steps are much faster.");
    }
}

fn banner(ui: &mut Ui, message: &str, add: impl FnOnce(&mut Ui)) {
    egui::Frame::new().fill(WARNING.gamma_multiply(0.14)).corner_radius(8.0).inner_margin(10.0).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.add(egui::Label::new(RichText::new(message).color(WARNING)).wrap());
        add(ui);
    });
}

/// A panel of `width`.
fn panel(ui: &mut Ui, width: f32, add: impl FnOnce(&mut Ui)) -> egui::Response {
    let frame = card();
    let inner = width - frame.total_margin().sum().x;
    frame
        .show(ui, |ui| {
            ui.set_width(inner);
            add(ui);
        })
        .response
}
