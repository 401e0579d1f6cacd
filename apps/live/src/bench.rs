//! Benchmark of attention kernels on a device of its own: those of Ketformer, a naive one, and one that the user brings.

use std::cell::RefCell;
use std::rc::Rc;

use eframe::egui::{ComboBox, Grid, RichText, ScrollArea, TextEdit, Ui};
use ketformer::Result;
use ketformer::arena::{
    Arena, ArenaConfig, AttentionProblem, BenchRow, Candidate, Environment, Event, ForeignKernel, Limits, Pass, Status,
    Suite,
};
use ketformer::gpu::{Gpu, GpuOptions};
use web_time::Instant;

use crate::storage;
use crate::task::Background;
use crate::theme::{ACCENT, TEXT, WARNING, WEAK, heading};
use crate::widgets::Places;

/// Seconds after which a run counts as one that does not end.
const TIMEOUT: f64 = 60.0;

/// Timed runs on software adapters, and milliseconds after which there are no more than three.
const SOFTWARE_RUNS: u32 = 5;
const SOFTWARE_MS: f64 = 1000.0;

/// Adds the browser to the operating system.
#[cfg(target_arch = "wasm32")]
fn name_browser(environment: &mut Environment) {
    let agent = eframe::web_sys::window().and_then(|window| window.navigator().user_agent().ok());
    if let Some(agent) = agent {
        environment.os = format!("browser ({agent})");
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn name_browser(_: &mut Environment) {}

/// What a run shows.
#[derive(Clone, Default)]
struct Progress {
    gpu: Option<Gpu>,
    environment: Option<Environment>,
    limits: Limits,
    rows: Vec<BenchRow>,
    /// Kernel and problem that run, and since when.
    running: Option<(String, AttentionProblem, Instant)>,
    problems: usize,
    finished: usize,
    error: Option<String>,
    is_done: bool,
    /// Whether the user stopped it, which it notices between problems.
    is_stopped: bool,
}

/// A run of the benchmark.
struct Run {
    progress: Rc<RefCell<Progress>>,
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the browser continues it"))]
    background: Background,
}

/// Page of the benchmark.
pub struct Bench {
    suite: Suite,
    has_gradients: bool,
    has_naive: bool,
    text: String,
    run: Option<Run>,
    notice: Option<String>,
}

impl Default for Bench {
    fn default() -> Self {
        Self {
            suite: Suite::Short,
            has_gradients: false,
            has_naive: true,
            text: String::new(),
            run: None,
            notice: None,
        }
    }
}

async fn work(progress: &Rc<RefCell<Progress>>, problems: Vec<AttentionProblem>, others: Vec<Candidate>) -> Result<()> {
    let gpu = Gpu::request(&GpuOptions::default()).await?;
    progress.borrow_mut().gpu = Some(gpu.clone());
    let limits = Limits::measure_async(&gpu).await?;
    let mut config = ArenaConfig::new(&gpu);
    if gpu.is_software() {
        (config.runs, config.most_ms) = (SOFTWARE_RUNS, SOFTWARE_MS);
    }
    let mut arena = Arena::new(&gpu, config, limits.clone());
    name_browser(&mut arena.environment);
    progress.borrow_mut().environment = Some(arena.environment.clone());
    progress.borrow_mut().limits = limits;
    for problem in &problems {
        if progress.borrow().is_stopped {
            break;
        }
        let candidates: Vec<Candidate> = Candidate::ours(problem).into_iter().chain(others.iter().cloned()).collect();
        let mut event = |event: Event<'_>| {
            let mut progress = progress.borrow_mut();
            match event {
                Event::Running { kernel, problem } => {
                    progress.running = Some((kernel.into(), *problem, Instant::now()))
                }
                Event::Row(row) => progress.rows.push(row.clone()),
            }
        };
        arena.run_async(problem, &candidates, &mut event).await?;
        progress.borrow_mut().finished += 1;
    }
    Ok(())
}

impl Run {
    fn new(problems: Vec<AttentionProblem>, others: Vec<Candidate>) -> Self {
        let progress = Rc::new(RefCell::new(Progress { problems: problems.len(), ..Progress::default() }));
        let own = progress.clone();
        let whole = async move {
            let result = work(&own, problems, others).await;
            let mut progress = own.borrow_mut();
            progress.error = result.err().map(|error| error.to_string());
            (progress.is_done, progress.running) = (true, None);
        };
        Self { progress, background: Background::new(whole) }
    }

    /// Ends a run that waits for a kernel that does not end. Its device is left to the driver.
    fn heed_timeout(&mut self) {
        let progress = self.progress.borrow();
        let Some((kernel, problem, since)) = progress.running.clone() else { return };
        if since.elapsed().as_secs_f64() < TIMEOUT {
            return;
        }
        let environment = progress.environment.clone().unwrap_or_default();
        let mut row = BenchRow::of_attention(&problem, &kernel, &environment);
        row.status = Status::Timeout;
        row.error = Some(format!("a run did not end within {TIMEOUT} s; reload the page to use the GPU again"));
        let mut next = progress.clone();
        next.rows.push(row);
        (next.is_done, next.running) = (true, None);
        drop(progress);
        // The abandoned work keeps writing into the old state.
        self.progress = Rc::new(RefCell::new(next));
    }
}

impl Bench {
    fn begin(&mut self) {
        let passes = if self.has_gradients { Pass::ForwardBackward } else { Pass::Forward };
        let problems =
            self.suite.problems().into_iter().filter(|problem| problem.pass == passes || problem.is_decode());
        let mut others = Vec::new();
        if self.has_naive {
            others.push(Candidate::Foreign(ForeignKernel::naive()));
        }
        if !self.text.trim().is_empty() {
            others.push(Candidate::Foreign(ForeignKernel::new("yours.wgsl", &self.text)));
        }
        self.notice = None;
        self.run = Some(Run::new(problems.collect(), others));
    }

    /// Rows and limits as the file that `ketformer bench --json` writes.
    fn file(progress: &Progress) -> String {
        let value = serde_json::json!({ "limits": progress.limits, "rows": progress.rows, "notes": [] });
        serde_json::to_string_pretty(&value).unwrap_or_default()
    }

    /// Takes the text of a dropped file.
    pub fn take(&mut self, bytes: &[u8]) {
        self.text = String::from_utf8_lossy(bytes).into_owned();
    }

    /// Advances the benchmark and shows it.
    pub fn show(&mut self, ui: &mut Ui, places: &mut Places) {
        if let Some(run) = &mut self.run {
            #[cfg(not(target_arch = "wasm32"))]
            run.background.advance(|| run.progress.borrow().gpu.clone());
            run.heed_timeout();
            // A page leaves the device to the kernels, a window polls it.
            #[cfg(not(target_arch = "wasm32"))]
            if !run.progress.borrow().is_done {
                ui.ctx().request_repaint();
            }
        }
        heading(
            ui,
            "Attention kernels",
            "Kernels take turns on this adapter; every timed pass is checked against 64-bit floats.",
        );
        self.controls(ui, places);
        let Some(run) = &self.run else { return };
        let progress = run.progress.borrow();
        if let Some(environment) = &progress.environment {
            adapter(ui, environment, &progress.limits);
        }
        if let Some(error) = &progress.error {
            ui.label(RichText::new(error).color(WARNING));
        }
        let state = match &progress.running {
            Some((kernel, problem, _)) => {
                format!("{kernel} on {problem}, {} of {}", progress.finished, progress.problems)
            }
            None if progress.is_done => format!("{} of {} shapes", progress.finished, progress.problems),
            None => "opening the device …".into(),
        };
        ui.label(RichText::new(state).small().color(WEAK));
        table(ui, &progress.rows);
    }

    fn controls(&mut self, ui: &mut Ui, places: &mut Places) {
        let is_running = self.run.as_ref().is_some_and(|run| !run.progress.borrow().is_done);
        ui.horizontal_wrapped(|ui| {
            ui.add_enabled_ui(!is_running, |ui| {
                ComboBox::from_id_salt("suite").selected_text(self.suite.to_string()).show_ui(ui, |ui| {
                    for suite in Suite::ALL {
                        ui.selectable_value(&mut self.suite, suite, suite.to_string());
                    }
                });
                ui.checkbox(&mut self.has_gradients, "gradients");
                ui.checkbox(&mut self.has_naive, "naive kernel");
            });
            let word = if is_running { "stop" } else { "run" };
            let response = ui.button(word);
            places.add(word, response.rect);
            if response.clicked() {
                match &self.run {
                    Some(run) if is_running => run.progress.borrow_mut().is_stopped = true,
                    _ => self.begin(),
                }
            }
            let rows = self.run.as_ref().map_or(0, |run| run.progress.borrow().rows.len());
            let response = ui.add_enabled(rows > 0, eframe::egui::Button::new("save JSON"));
            places.add("save JSON", response.rect);
            if response.clicked()
                && let Some(run) = &self.run
            {
                let text = Self::file(&run.progress.borrow());
                self.notice =
                    Some(storage::offer("ketformer-bench.json", text.as_bytes()).unwrap_or_else(|message| message));
            }
        });
        if let Some(notice) = &self.notice {
            ui.label(RichText::new(notice).small().color(ACCENT));
        }
        ui.collapsing("your kernel", |ui| {
            let text = "WGSL with bindings q, k, v, o and constants B, H, HK, S, SK, D, CAUSAL (docs/benchmarking.md); \
                        paste it here or drop a file";
            ui.label(RichText::new(text).small().color(WEAK));
            ScrollArea::vertical().max_height(220.0).show(ui, |ui| {
                ui.add(TextEdit::multiline(&mut self.text).code_editor().desired_rows(8).desired_width(f32::INFINITY));
            });
        });
    }

    /// Results, for a test.
    pub fn json(&self) -> serde_json::Value {
        let Some(run) = &self.run else { return serde_json::Value::Null };
        let progress = run.progress.borrow();
        serde_json::json!({
            "rows": progress.rows,
            "done": progress.is_done,
            "error": progress.error,
            "file": Self::file(&progress),
        })
    }
}

/// The adapter, and loudly whether it is none.
fn adapter(ui: &mut Ui, environment: &Environment, limits: &Limits) {
    let Environment { adapter, driver, backend, .. } = environment;
    ui.label(RichText::new(format!("{adapter} · {backend} · {driver}")).color(TEXT));
    if environment.software {
        let text = "SOFTWARE ADAPTER: the CPU computes. These times say nothing about a GPU.";
        ui.label(RichText::new(text).strong().color(WARNING));
    }
    if limits.gflops > 0.0 {
        let text = format!("limits: {:.1} GFLOP/s, {:.1} GB/s", limits.gflops, limits.gbytes_per_s);
        ui.label(RichText::new(text).small().color(WEAK));
    }
}

fn table(ui: &mut Ui, rows: &[BenchRow]) {
    if rows.is_empty() {
        return;
    }
    ScrollArea::horizontal().show(ui, |ui| {
        Grid::new("rows").striped(true).spacing([14.0, 4.0]).show(ui, |ui| {
            for word in ["shape", "kernel", "ms", "spread", "GFLOP/s", "% peak", "error", "same bits"] {
                ui.label(RichText::new(word).small().color(WEAK));
            }
            ui.end_row();
            for row in rows {
                ui.monospace(&row.shape);
                ui.monospace(&row.kernel);
                if row.status.passed() {
                    let number = |value: Option<f64>, decimals: usize| {
                        value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
                    };
                    ui.monospace(number(row.median_ms, 3));
                    ui.monospace(row.spread.map_or_else(String::new, |spread| format!("{:.0} %", 100.0 * spread)));
                    ui.monospace(number(row.gflops, 2));
                    ui.monospace(number(row.percent_of_peak, 1));
                    ui.monospace(row.max_error.map_or_else(String::new, |error| format!("{error:.0e}")));
                    ui.monospace(if row.deterministic == Some(true) { "yes" } else { "no" });
                } else {
                    let color = if row.status.is_fault() { WARNING } else { WEAK };
                    let error = row.error.as_deref().unwrap_or_default();
                    ui.label(RichText::new(row.status.to_string()).monospace().color(color)).on_hover_text(error);
                }
                ui.end_row();
            }
        });
    });
}
