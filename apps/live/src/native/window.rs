//! A window. After a lost device another one opens, with the message and the newest state.

use std::cell::RefCell;
use std::rc::Rc;

use eframe::egui::{self, ViewportCommand};

use super::arguments::Arguments;
use super::drive;
use crate::app::LiveApp;
use crate::device;
use crate::storage::Saved;

/// Why a window closed, if the user did not close it.
struct Lost {
    message: String,
    saved: Option<Saved>,
}

struct Window {
    app: LiveApp,
    lost: Rc<RefCell<Option<Lost>>>,
    is_driven: bool,
}

impl eframe::App for Window {
    fn raw_input_hook(&mut self, context: &egui::Context, input: &mut egui::RawInput) {
        if self.is_driven {
            input.events.extend(drive::next(&mut self.app, context));
        }
    }

    fn logic(&mut self, context: &egui::Context, _: &mut eframe::Frame) {
        if self.lost.borrow().is_none() {
            self.app.work(context);
        }
        if let Some(message) = self.app.failed() {
            self.lost.replace(Some(Lost { message, saved: self.app.kept() }));
            context.send_viewport_cmd(ViewportCommand::Close);
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        // egui's renderer panics if it has anything to upload to a lost device.
        if self.lost.borrow().is_none() {
            self.app.show(ui);
        }
    }
}

/// Opens windows until the user closes one.
///
/// # Errors
/// A message if no window opens.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let is_driven = arguments.is_driven;
    let [width, height] = arguments.size.map(|side| side as f32);
    let mut state = (arguments.settings.clone().map(Saved::begin), None);
    loop {
        let lost = Rc::new(RefCell::new(None));
        let options = eframe::NativeOptions {
            viewport: egui::ViewportBuilder::default()
                .with_title("Ketformer Live")
                .with_inner_size([width, height])
                .with_min_inner_size([320.0, 320.0]),
            renderer: eframe::Renderer::Wgpu,
            wgpu_options: device::configuration(),
            ..Default::default()
        };
        let (saved, message) = std::mem::take(&mut state);
        let of_window = lost.clone();
        eframe::run_native(
            "ketformer-live",
            options,
            Box::new(move |creation| {
                let render = creation.wgpu_render_state.clone().ok_or("no wgpu device")?;
                let app = LiveApp::new(&creation.egui_ctx, render, saved, message);
                Ok(Box::new(Window { app, lost: of_window, is_driven }))
            }),
        )
        .map_err(|error| error.to_string())?;
        let Some(Lost { message, saved }) = lost.take() else { return Ok(()) };
        eprintln!("ketformer-live: {message}");
        state = (saved, Some(message));
    }
}
