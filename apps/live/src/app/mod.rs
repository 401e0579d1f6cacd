//! The app: its state, and the part of a frame that trains.

mod panels;

use std::sync::{Arc, Mutex, PoisonError};

use eframe::egui;
use egui_wgpu::RenderState;
use ketformer::Result;
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::vmc::Checkpoint;
use ketformer::wgpu;
use web_time::Instant;

use crate::bench::Bench;
use crate::doctor::Doctor;
use crate::energy_plot::Quantity;
use crate::exact::ExactEnergy;
use crate::history::History;
use crate::lattice_panel::Selection;
use crate::mask::Mask;
use crate::pacing::Pacing;
#[cfg(not(target_arch = "wasm32"))]
use crate::settings::Couplings;
use crate::settings::Settings;
use crate::sorter::Sorter;
use crate::storage::{self, Saved};
use crate::task::{Task, finished};
use crate::training::{Start, Training};
use crate::widgets::Places;
use crate::{lattice_view, theme};

/// Page of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Wave,
    Sorter,
    Doctor,
    Bench,
}

/// Trainer that is about to be made. A frame shows that before it is.
#[derive(Default)]
struct Build {
    start: Start,
    is_shown: bool,
}

/// What the state of the trainer is read for.
enum Reading {
    /// A new trainer that continues with it.
    Continue,
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

/// Milliseconds of a frame, at first: two refreshes of most screens.
const BUDGET: f64 = 34.0;
/// The same on software adapters, which paint slowly.
const SOFTWARE_BUDGET: f64 = 180.0;
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
    reading: Option<Reading>,
    /// Whether the weights of the state that is read next go into a file.
    exports: bool,
    opening: Option<Task<std::result::Result<Vec<u8>, String>>>,
    history: History,
    exact: ExactEnergy,
    selection: Selection,
    quantity: Quantity,
    page: Page,
    doctor: Option<Doctor>,
    bench: Bench,
    sorter: Option<Sorter>,
    mask: Mask,
    pacing: Pacing,
    has_trained: bool,
    is_paused: bool,
    steps_wanted: u64,
    last_frame: Option<Instant>,
    kept: Option<Saved>,
    kept_at: Option<Instant>,
    notice: Option<String>,
    places: Places,
    frames: u64,
    log: Option<Vec<f64>>,
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
        let checkpoint = saved.as_ref().and_then(Saved::checkpoint);
        let history = History::after(saved.as_ref().map_or(0, |saved| saved.steps));
        let notice = saved
            .as_ref()
            .filter(|_| checkpoint.is_some())
            .map(|saved| format!("continues after {} steps", saved.steps));
        let start = checkpoint.map_or_else(Start::default, Start::Checkpoint);
        Self {
            render,
            failure,
            build: error.is_none().then_some(Build { start, is_shown: false }),
            error,
            settings,
            training: None,
            reading: None,
            exports: false,
            opening: None,
            history,
            exact: ExactEnergy::default(),
            selection: Selection::default(),
            quantity: Quantity::default(),
            page: Page::Wave,
            doctor: None,
            bench: Bench::default(),
            pacing: Pacing::new(if gpu.is_software() { SOFTWARE_BUDGET } else { BUDGET }),
            has_trained: false,
            gpu,
            sorter: None,
            mask: Mask::default(),
            is_paused: false,
            steps_wanted: u64::MAX,
            last_frame: None,
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

    /// Keeps the energies of all steps.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn log_values(&mut self) {
        self.log = Some(Vec::new());
    }

    /// Energies of the steps since [`Self::log_values`], or losses of all steps of the GPT.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn logged(&self) -> &[f64] {
        match (&self.sorter, self.page) {
            (Some(sorter), Page::Sorter) => sorter.losses(),
            _ => self.log.as_deref().unwrap_or_default(),
        }
    }

    /// The error that stopped training.
    pub fn error(&self) -> Option<String> {
        self.failure.get().or_else(|| self.error.clone())
    }

    /// Command that trains to the same energies, or losses.
    pub fn train_command(&self) -> String {
        match (&self.sorter, self.page) {
            (Some(sorter), Page::Sorter) => sorter.train_command(),
            _ => self.settings.train_command(self.history.steps().max(1)),
        }
    }

    /// Whether no further step is wanted.
    pub fn is_at_limit(&self) -> bool {
        let steps = match self.page {
            Page::Sorter => self.sorter.as_ref().map_or(0, Sorter::steps),
            Page::Wave | Page::Doctor | Page::Bench => self.history.steps(),
        };
        steps >= self.steps_wanted
    }

    /// Shows the page of the GPT.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn show_gpt(&mut self) {
        self.page = Page::Sorter;
    }

    /// Moves the sliders of the Hamiltonian.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_couplings(&mut self, couplings: Couplings) {
        self.settings.couplings = couplings;
    }

    /// Limits the number of steps.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn limit_steps(&mut self, steps: u64) {
        self.steps_wanted = steps;
    }

    /// Sets the time of a frame.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_budget(&mut self, milliseconds: f64) {
        self.pacing = Pacing::new(milliseconds);
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
            "frame": self.pacing.mean(),
            "budget": self.pacing.budget,
            "share": self.pacing.share(),
            "adapter": info.name,
            "backend": info.backend.to_string(),
            "software": self.gpu.is_software(),
            "failure": self.error(),
            "totals": self.mask.totals(),
            "sorter": self.sorter.as_ref().map(Sorter::json),
            "doctor": self.doctor.as_ref().map(Doctor::json),
            "bench": self.bench.json(),
            "kept": self.kept.as_ref().map(|saved| saved.steps),
            "eval": self.settings.eval_command(storage::FILE),
            "places": self.places.json(),
        })
    }

    /// The part of a frame that paints nothing: training.
    pub fn work(&mut self, context: &egui::Context) {
        let now = Instant::now();
        if let Some(last) = self.last_frame.replace(now) {
            self.pacing.frame(1e3 * now.duration_since(last).as_secs_f64(), self.has_trained);
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
            Page::Doctor | Page::Bench => context.request_repaint_after(std::time::Duration::from_millis(200)),
        }
    }

    fn train(&mut self, context: &egui::Context) -> Result<()> {
        self.gpu.device().poll(wgpu::PollType::Poll).ok();
        self.has_trained = false;
        let milliseconds = self.pacing.share();
        if self.page == Page::Sorter {
            if self.sorter.is_none() {
                self.sorter = Some(Sorter::new(&self.gpu)?);
            }
            let Some(sorter) = &mut self.sorter else { return Ok(()) };
            self.has_trained = sorter.work(milliseconds, self.steps_wanted)?;
            return Ok(());
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
        self.has_trained = !self.is_paused && !is_at_limit && self.page == Page::Wave;
        let sites = training.settings().lattice().sites();
        for report in training.work(milliseconds, !self.has_trained)? {
            if self.history.steps() < self.steps_wanted {
                self.history.add(&report, sites);
                if let Some(log) = &mut self.log {
                    log.push(report.energy);
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
        if let Some(training) = &mut self.training {
            training.ask();
            self.reading = Some(reading);
        }
    }

    /// Begins to write the weights into a file.
    fn export(&mut self) {
        if let Some(training) = &mut self.training {
            training.ask();
            self.exports = true;
        }
    }

    /// Takes the results of what was begun in earlier frames.
    fn collect(&mut self) -> Result<()> {
        if let Some(Build { start, .. }) = self.build.take_if(|build| build.is_shown) {
            self.mask.forget();
            // Frees the buffers before the new ones are made.
            self.training = None;
            self.training = Some(Training::new(&self.render, &self.gpu, &self.settings, &start)?);
            if matches!(start, Start::Initial) {
                self.history = History::default();
            }
            self.history.begin();
        }
        if let Some(opened) = finished(&mut self.opening) {
            if self.page == Page::Bench {
                match opened {
                    Ok(bytes) => self.bench.take(&bytes),
                    Err(message) => self.notice = Some(message),
                }
                return Ok(());
            }
            let weights =
                opened.and_then(|bytes| Weights::from_bytes("this file", &bytes).map_err(|error| error.to_string()));
            self.open(weights);
        }
        let Some(training) = &mut self.training else { return Ok(()) };
        let Some(checkpoint) = training.state()? else { return Ok(()) };
        if std::mem::take(&mut self.exports) {
            self.notice = Some(storage::export(&checkpoint.weights).unwrap_or_else(|message| message));
        }
        match self.reading.take() {
            Some(Reading::Continue) => {
                // Chains begin again, perhaps in another number.
                let start = Start::Checkpoint(Checkpoint { chains: Vec::new(), ..checkpoint });
                self.build = Some(Build { start, is_shown: false });
            }
            Some(Reading::Keep) => self.keep(&checkpoint)?,
            None => {}
        }
        Ok(())
    }

    /// Keeps the state for a reload or another device.
    fn keep(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let Some(training) = &self.training else { return Ok(()) };
        let saved = Saved::new(training.settings(), self.history.steps(), checkpoint)?;
        #[cfg(target_arch = "wasm32")]
        if !storage::save(&saved) {
            self.notice = Some("this browser keeps no state of this size: a reload starts again".into());
        }
        self.kept = Some(saved);
        self.mask.begin(&self.gpu, training.settings(), &checkpoint.weights)
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
                self.build = Some(Build { start: Start::Weights(weights), is_shown: false });
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
        if training.takes(&self.settings) {
            match training.follow(&self.settings) {
                Ok(true) => {
                    self.history.begin();
                    return Ok(());
                }
                Ok(false) => return Ok(()),
                // These couplings have other terms, which need a new trainer.
                Err(_) => {}
            }
        }
        if is_dragging {
            return Ok(());
        }
        if self.settings.shares_weights(training.settings()) {
            self.read(Reading::Continue);
        } else {
            self.build = Some(Build::default());
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
            let start = saved.checkpoint().map_or_else(Start::default, Start::Checkpoint);
            self.build = Some(Build { start, is_shown: false });
            self.notice = Some(format!("continues after {} steps", saved.steps));
            self.kept = Some(saved);
        }
    }

    /// Starts again from the initial weights.
    fn reset(&mut self) {
        self.history = History::default();
        self.build = Some(Build::default());
        (self.reading, self.exports) = (None, false);
        self.kept = None;
        self.error = None;
    }
}
