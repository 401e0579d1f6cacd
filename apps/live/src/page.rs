//! The app in a page.

use std::cell::RefCell;

use eframe::egui;
use eframe::web_sys::{self, wasm_bindgen::JsCast};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

use crate::app::LiveApp;
use crate::device;
use crate::settings::Settings;
use crate::storage::{self, Saved};

thread_local! {
    static RUNNER: RefCell<Option<eframe::WebRunner>> = const { RefCell::new(None) };
}

struct Page {
    app: LiveApp,
    is_over: bool,
}

impl eframe::App for Page {
    fn logic(&mut self, context: &egui::Context, _: &mut eframe::Frame) {
        if self.is_over {
            return;
        }
        self.app.work(context);
        if let Some(message) = self.app.failed() {
            self.is_over = true;
            let saved = self.app.kept();
            // After this frame, in which the runner is in use.
            spawn_local(async move { start(saved, Some(message)).await });
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        self.app.show(ui);
    }

    fn as_any_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

/// Shows `message` in place of the app.
fn show_message(message: &str) {
    let document = web_sys::window().and_then(|window| window.document());
    if let Some(element) = document.and_then(|document| document.get_element_by_id("message")) {
        element.set_text_content(Some(message));
        element.remove_attribute("hidden").ok();
    }
}

/// Starts the app on a new device.
async fn start(saved: Option<Saved>, error: Option<String>) {
    let canvas = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.get_element_by_id("canvas"))
        .and_then(|element| element.dyn_into::<web_sys::HtmlCanvasElement>().ok());
    let Some(canvas) = canvas else { return show_message("The page has no canvas.") };
    let runner = RUNNER.with_borrow_mut(|runner| {
        if let Some(old) = runner.take() {
            old.destroy();
        }
        runner.insert(eframe::WebRunner::new()).clone()
    });
    let options = eframe::WebOptions { wgpu_options: device::configuration(), ..Default::default() };
    let started = runner.start(
        canvas,
        options,
        Box::new(|creation| {
            let render = creation.wgpu_render_state.clone().ok_or("no WebGPU device")?;
            let app = LiveApp::new(&creation.egui_ctx, render, saved, error);
            Ok(Box::new(Page { app, is_over: false }))
        }),
    );
    if let Err(error) = started.await {
        show_message(&format!("WebGPU did not start: {error:?}"));
    }
}

/// Text of the settings in the address, as in `?settings={"sides":[2,2]}`.
fn settings_of_address() -> Option<String> {
    let search = web_sys::window()?.location().search().ok()?;
    web_sys::UrlSearchParams::new_with_str(&search).ok()?.get("settings")
}

/// Starts the app with the settings in the address, or else in the state that this browser keeps. A reload continues.
pub fn main() {
    let kept = storage::load();
    let (saved, error) = match settings_of_address() {
        Some(text) if storage::is_new_link(&text) => match Settings::parse(&text) {
            Ok(settings) => (Some(Saved::begin(settings)), None),
            Err(message) => (kept, Some(message)),
        },
        _ => (kept, None),
    };
    spawn_local(start(saved, error));
}

fn with_app<T>(use_app: impl FnOnce(&mut LiveApp) -> T) -> Option<T> {
    let runner = RUNNER.with_borrow(Clone::clone)?;
    let mut page = runner.app_mut::<Page>()?;
    Some(use_app(&mut page.app))
}

/// State of the app as JSON, for tests.
#[wasm_bindgen]
pub fn state() -> String {
    with_app(|app| app.state().to_string()).unwrap_or_else(|| "null".into())
}

/// Destroys the device, for tests.
#[wasm_bindgen]
pub fn lose_device() {
    with_app(|app| app.lose_device());
}
