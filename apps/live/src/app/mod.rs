//! The app: its state, and the part of a frame that trains.

mod panels;

use std::sync::{Arc, Mutex, PoisonError};

use eframe::egui;
use egui_wgpu::RenderState;
use ketformer::Result;
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::vmc::StepReport;
use ketformer::wgpu;
use web_time::Instant;

use crate::doctor::Doctor;
use crate::energy_plot::Quantity;
use crate::exact::ExactEnergy;
use crate::history::History;
use crate::lattice_panel::Selection;
use crate::mask::Mask;
use crate::settings::Settings;
use crate::sorter::Sorter;
use crate::storage::{self, Saved};
use crate::task::{Task, finished};
use crate::training::Training;
use crate::widgets::Places;
use crate::{lattice_view, theme};

/// Page of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Wave,
    Sorter,
    Doctor,
}

/// Trainer that is about to be made. A frame shows that before it is.
struct Build {
    weights: Option<Weights>,
    is_shown: bool,
}

/// What weights are read for.
enum Reading {
    /// A new trainer that continues with them.
    Continue,
    /// A file.
    Export,
    /// The state that outlives a reload.
    Keep,
}

/// First failure of the device, which its callbacks report at any time.
#[derive(Clone, Default)]
pub struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    fn set(&self, message: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }

    /// The failure.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Installs the callbacks of a device.
    fn watch(&self, device: &wgpu::Device) {
        let lost = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            let reason = if message.is_empty() { format!("{reason:?}").to_lowercase() } else { message };
            lost.set(format!("the GPU device was lost ({})", reason.trim_end_matches('.')));
        });
        let rejected = self.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            rejected.set(format!("the GPU rejected a command: {error}"));
        }));
    }
}

/// Milliseconds of training in a frame, at first.
const BUDGET: f64 = 8.0;
/// The same on software adapters, whose frames take long anyway.
const SOFTWARE_BUDGET: f64 = 50.0;
/// Seconds between two times that the state is kept.
const KEEP_EVERY: f64 = 4.0;

/// The app.
pub struct LiveApp {
    render: RenderState,
    gpu: Gpu,
    failure: Failure,
    error: Option<String>,
    settings: Settings,
    training: Option<Training>,
    build: Option<Build>,
    reading: Option<(Task<Result<Weights>>, Reading)>,
    opening: Option<Task<std::result::Result<Vec<u8>, String>>>,
    history: History,
    exact: ExactEnergy,
    selection: Selection,
    quantity: Quantity,
    page: Page,
    doctor: Option<Doctor>,
    sorter: Option<Sorter>,
    mask: Mask,
    budget: f64,
    is_paused: bool,
    steps_wanted: u64,
    last_frame: Option<Instant>,
    frame_milliseconds: f64,
    kept: Option<Saved>,
    kept_at: Option<Instant>,
    notice: Option<String>,
    places: Places,
    frames: u64,
    log: Option<Vec<StepReport>>,
}

impl LiveApp {
    /// The app on a device, in the state `saved` or the initial one. With an `error`, which ended the use of another
    /// device, training begins on restart.
    pub fn new(context: &egui::Context, render: RenderState, saved: Option<Saved>, error: Option<String>) -> Self {
        theme::apply(context);
        lattice_view::install(&render);
        let failure = Failure::default();
        failure.watch(&render.device);
        let gpu = Gpu::from_device(&render.device, &render.queue);
        let settings = saved.as_ref().map_or_else(Settings::default, |saved| saved.settings.clone());
        let weights = saved.as_ref().and_then(Saved::weights);
        let history = History::after(saved.as_ref().map_or(0, |saved| saved.steps));
        let notice =
            saved.as_ref().filter(|_| weights.is_some()).map(|saved| format!("continues after {} steps", saved.steps));
        Self {
            render,
            failure,
            build: error.is_none().then_some(Build { weights, is_shown: false }),
            error,
            settings,
            training: None,
            reading: None,
            opening: None,
            history,
            exact: ExactEnergy::default(),
            selection: Selection::default(),
            quantity: Quantity::default(),
            page: Page::Wave,
            doctor: None,
            budget: if is_software(&gpu) { SOFTWARE_BUDGET } else { BUDGET },
            gpu,
            sorter: None,
            mask: Mask::default(),
            is_paused: false,
            steps_wanted: u64::MAX,
            last_frame: None,
            frame_milliseconds: 0.0,
            kept: saved,
            kept_at: None,
            notice,
            places: Places::default(),
            frames: 0,
            log: None,
        }
    }

    /// The message of a failure that a restart on another device remedies.
    pub fn failed(&self) -> Option<String> {
        self.failure.get()
    }

    /// The newest state that the host has.
    pub fn kept(&self) -> Option<Saved> {
        self.kept.clone()
    }

    /// Chooses an atom.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn select(&mut self, site: Option<usize>) {
        self.selection.site = site;
    }

    /// Keeps the reports of all steps.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn log_reports(&mut self) {
        self.log = Some(Vec::new());
    }

    /// Reports since [`Self::log_reports`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn logged(&self) -> &[StepReport] {
        self.log.as_deref().unwrap_or_default()
    }

    /// The error that stopped training.
    pub fn error(&self) -> Option<String> {
        self.failure.get().or_else(|| self.error.clone())
    }

    /// Command that trains to the same energies.
    pub fn train_command(&self) -> String {
        self.settings.train_command(self.history.steps().max(1))
    }

    /// Whether no further step is wanted.
    pub fn is_at_limit(&self) -> bool {
        let steps = match self.page {
            Page::Sorter => self.sorter.as_ref().map_or(0, Sorter::steps),
            Page::Wave | Page::Doctor => self.history.steps(),
        };
        steps >= self.steps_wanted
    }

    /// Shows the page of the GPT.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn show_gpt(&mut self) {
        self.page = Page::Sorter;
    }

    /// Limits the number of steps.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn limit_steps(&mut self, steps: u64) {
        self.steps_wanted = steps;
    }

    /// Sets the time of training in a frame.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_budget(&mut self, milliseconds: f64) {
        self.budget = milliseconds;
    }

    /// Destroys the device, as a driver does that fails.
    pub fn lose_device(&self) {
        self.gpu.device().destroy();
        self.gpu.device().poll(wgpu::PollType::Poll).ok();
    }

    /// What a test reads: state of the run and places of widgets.
    pub fn state(&self) -> serde_json::Value {
        let info = self.gpu.info();
        let last = self.history.last();
        serde_json::json!({
            "step": self.history.steps(),
            "first": self.history.first(),
            "energy": last.map(|point| point.energy),
            "mean": last.map(|point| point.mean),
            "exact": self.history.exact(),
            "error": self.history.error(),
            "reached": ([0.01, 0.001].map(|fraction| self.history.reached(fraction))),
            "site": self.selection.site,
            "settings": self.settings,
            "frames": self.frames,
            "frame": self.frame_milliseconds,
            "budget": self.budget,
            "adapter": info.name,
            "backend": info.backend.to_string(),
            "software": self.gpu.is_software(),
            "failure": self.error(),
            "totals": self.mask.totals(),
            "sorter": self.sorter.as_ref().map(Sorter::json),
            "doctor": self.doctor.as_ref().map(Doctor::json),
            "kept": self.kept.as_ref().map(|saved| saved.steps),
            "places": self.places.json(),
        })
    }

    /// The part of a frame that paints nothing: training.
    pub fn work(&mut self, context: &egui::Context) {
        let now = Instant::now();
        if let Some(last) = self.last_frame.replace(now) {
            let milliseconds = 1e3 * now.duration_since(last).as_secs_f64();
            self.frame_milliseconds += 0.1 * (milliseconds.min(1e3) - self.frame_milliseconds);
        }
        if self.failure.get().is_none()
            && self.error.is_none()
            && let Err(error) = self.train(context)
        {
            self.error = Some(error.to_string());
        }
        match self.page {
            Page::Wave | Page::Sorter => context.request_repaint(),
            // Leaves the device to the kernels.
            Page::Doctor => context.request_repaint_after(std::time::Duration::from_millis(200)),
        }
    }

    fn train(&mut self, context: &egui::Context) -> Result<()> {
        self.gpu.device().poll(wgpu::PollType::Poll).ok();
        if self.page == Page::Sorter {
            if self.sorter.is_none() {
                self.sorter = Some(Sorter::new(&self.gpu)?);
            }
            let is_at_limit = self.is_at_limit();
            return self.sorter.as_mut().map_or(Ok(()), |sorter| sorter.work(self.budget, is_at_limit));
        }
        self.collect()?;
        let is_dragging = context.input(|input| input.pointer.any_down());
        self.follow_settings(is_dragging)?;
        let exact = self.exact.of(&self.settings, !is_dragging);
        if self.training.as_ref().is_some_and(|training| training.settings().couplings == self.settings.couplings) {
            self.history.set_exact(exact);
        }
        let is_at_limit = self.is_at_limit();
        let Some(training) = &mut self.training else { return Ok(()) };
        if !self.is_paused && !is_at_limit && self.page == Page::Wave {
            training.advance(self.budget)?;
        }
        let sites = training.settings().lattice().sites();
        for report in training.reports()? {
            if self.history.steps() < self.steps_wanted {
                self.history.add(&report, sites);
                if let Some(log) = &mut self.log {
                    log.push(report);
                }
            }
        }
        self.mask.collect()?;
        let is_due = self.kept_at.is_none_or(|at| at.elapsed().as_secs_f64() > KEEP_EVERY);
        if is_due && self.reading.is_none() && self.history.steps() > 0 && !self.is_paused {
            self.kept_at = Some(Instant::now());
            self.read(Reading::Keep);
        }
        Ok(())
    }

    fn read(&mut self, reading: Reading) {
        if let Some(training) = &self.training {
            self.reading = Some((Task::new(training.weights()), reading));
        }
    }

    /// Takes the results of what was begun in earlier frames.
    fn collect(&mut self) -> Result<()> {
        if let Some(Build { is_shown: true, weights }) = self.build.take_if(|build| build.is_shown) {
            let continues = weights.is_some();
            self.mask.forget();
            // Frees the buffers before the new ones are made.
            self.training = None;
            self.training = Some(Training::new(&self.render, &self.gpu, &self.settings, weights.as_ref())?);
            if !continues {
                self.history = History::default();
            }
            self.history.begin();
        }
        if let Some(opened) = finished(&mut self.opening) {
            let weights =
                opened.and_then(|bytes| Weights::from_bytes("this file", &bytes).map_err(|error| error.to_string()));
            self.open(weights);
        }
        let Some((task, _)) = &mut self.reading else { return Ok(()) };
        let Some(weights) = task.poll() else { return Ok(()) };
        let Some((_, reading)) = self.reading.take() else { return Ok(()) };
        let weights = weights?;
        match reading {
            Reading::Continue => self.build = Some(Build { weights: Some(weights), is_shown: false }),
            Reading::Export => self.notice = Some(storage::export(&weights).unwrap_or_else(|message| message)),
            Reading::Keep => self.keep(&weights)?,
        }
        Ok(())
    }

    /// Keeps the state for a reload or another device.
    fn keep(&mut self, weights: &Weights) -> Result<()> {
        let Some(training) = &self.training else { return Ok(()) };
        let saved = Saved::new(training.settings(), self.history.steps(), weights)?;
        #[cfg(target_arch = "wasm32")]
        if !storage::save(&saved) {
            self.notice = Some("this browser keeps no state of this size: a reload starts again".into());
        }
        self.kept = Some(saved);
        self.mask.begin(&self.gpu, training.settings(), weights)
    }

    /// Continues from the weights of a file, if they fit.
    fn open(&mut self, weights: std::result::Result<Weights, String>) {
        let fits = weights.and_then(|weights| {
            let layout = self.settings.model().layout(&self.settings.lattice());
            layout.and_then(|layout| layout.check(&weights)).map_err(|error| error.to_string())?;
            Ok(weights)
        });
        match fits {
            Ok(weights) => {
                self.notice = Some("the weights are opened".into());
                self.build = Some(Build { weights: Some(weights), is_shown: false });
            }
            Err(message) => self.notice = Some(message),
        }
    }

    /// Begins what the difference of the settings from those of the trainer needs.
    fn follow_settings(&mut self, is_dragging: bool) -> Result<()> {
        let Some(training) = &mut self.training else { return Ok(()) };
        if *training.settings() == self.settings || self.build.is_some() || self.reading.is_some() {
            return Ok(());
        }
        if training.follow(&self.settings).is_ok() {
            self.history.begin();
            return Ok(());
        }
        if is_dragging {
            return Ok(());
        }
        if self.settings.shares_weights(training.settings()) {
            self.read(Reading::Continue);
        } else {
            self.build = Some(Build { weights: None, is_shown: false });
        }
        Ok(())
    }

    /// Continues after an error, from the newest state that the host has.
    fn restart(&mut self) {
        let kept = self.kept.take();
        self.sorter = None;
        self.reset();
        if let Some(saved) = kept {
            self.settings = saved.settings.clone();
            self.history = History::after(saved.steps);
            self.build = Some(Build { weights: saved.weights(), is_shown: false });
            self.notice = Some(format!("continues after {} steps", saved.steps));
            self.kept = Some(saved);
        }
    }

    /// Starts again from the initial weights.
    fn reset(&mut self) {
        self.history = History::default();
        self.build = Some(Build { weights: None, is_shown: false });
        self.reading = None;
        self.kept = None;
        self.error = None;
    }
}

/// Whether kernels run on the processor. Browsers name only the kind of some software adapters.
fn is_software(gpu: &Gpu) -> bool {
    let info = gpu.info();
    let text = format!("{} {} {}", info.name, info.driver, info.driver_info).to_lowercase();
    gpu.is_software() || text.contains("swiftshader")
}
