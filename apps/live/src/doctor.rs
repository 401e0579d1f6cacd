//! Doctor: every kernel against its 64-bit reference, on a device of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use eframe::egui::{RichText, Ui};
use ketformer::gpu::{Gpu, GpuOptions};
use ketformer::kernels::{self, Case};

use crate::task::Background;
use crate::theme::{ACCENT, TEXT, WARNING, WEAK, heading};

/// Result of the cases of a kernel.
#[derive(Debug, Clone)]
struct Row {
    kernel: String,
    cases: usize,
    failures: Vec<String>,
}

#[derive(Default)]
struct Progress {
    gpu: Option<Gpu>,
    rows: Vec<Row>,
    error: Option<String>,
    is_done: bool,
}

/// Run of all kernels.
pub struct Doctor {
    progress: Rc<RefCell<Progress>>,
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the browser continues it"))]
    background: Background,
}

impl Default for Doctor {
    fn default() -> Self {
        let progress = Rc::new(RefCell::new(Progress::default()));
        Self { background: Background::new(run(progress.clone())), progress }
    }
}

/// The last case of each variant.
fn last_of_variants(cases: Vec<Case>) -> impl Iterator<Item = Case> {
    let of_variant: BTreeMap<Option<String>, Case> =
        cases.into_iter().map(|case| (case.variant().map(String::from), case)).collect();
    of_variant.into_values()
}

async fn run(progress: Rc<RefCell<Progress>>) {
    let gpu = match Gpu::request(&GpuOptions::default()).await {
        Ok(gpu) => gpu,
        Err(error) => {
            progress.borrow_mut().error = Some(error.to_string());
            return;
        }
    };
    progress.borrow_mut().gpu = Some(gpu.clone());
    for entry in kernels::ALL {
        let mut row = Row { kernel: entry.kernel().name.into(), cases: 0, failures: Vec::new() };
        for case in last_of_variants((entry.cases)(&gpu)) {
            row.cases += 1;
            match case.run_async(&gpu).await {
                Ok(words) => {
                    let differing = case.compare(&words).into_iter().filter(|found| !found.passed());
                    row.failures.extend(differing.map(|found| format!("{}: {found:?}", case.name)));
                }
                Err(error) => row.failures.push(format!("{}: {error}", case.name)),
            }
        }
        progress.borrow_mut().rows.push(row);
    }
    progress.borrow_mut().is_done = true;
}

impl Doctor {
    /// Runs the next cases and shows all results.
    pub fn show(&mut self, ui: &mut Ui) {
        #[cfg(not(target_arch = "wasm32"))]
        self.background.advance(|| self.progress.borrow().gpu.clone());
        let progress = self.progress.borrow();
        heading(
            ui,
            "Doctor",
            "The last case of every variant of every kernel on this adapter, against a 64-bit reference.",
        );
        if let Some(error) = &progress.error {
            ui.label(RichText::new(error).color(WARNING));
        }
        if let Some(gpu) = &progress.gpu {
            let info = gpu.info();
            ui.label(RichText::new(format!("{} · {} · {}", info.name, info.backend, info.driver)).color(WEAK));
        }
        let cases: usize = progress.rows.iter().map(|row| row.cases).sum();
        let failed = progress.rows.iter().filter(|row| !row.failures.is_empty()).count();
        let text = format!(
            "{} of {} kernels, {cases} cases, {failed} kernels failed",
            progress.rows.len(),
            kernels::ALL.len()
        );
        ui.label(RichText::new(text).color(if failed == 0 { TEXT } else { WARNING }));
        for row in progress.rows.iter().rev() {
            let (mark, color) = if row.failures.is_empty() { ("pass", ACCENT) } else { ("fail", WARNING) };
            ui.horizontal_wrapped(|ui| {
                ui.label(RichText::new(mark).monospace().color(color));
                ui.label(RichText::new(&row.kernel).monospace().color(TEXT));
                ui.label(RichText::new(format!("{} cases", row.cases)).small().color(WEAK));
            });
            for failure in &row.failures {
                ui.label(RichText::new(failure).small().color(WARNING));
            }
        }
    }

    /// Results, for a test.
    pub fn json(&self) -> serde_json::Value {
        let progress = self.progress.borrow();
        let failures: Vec<&String> = progress.rows.iter().flat_map(|row| &row.failures).collect();
        serde_json::json!({
            "kernels": progress.rows.len(),
            "done": progress.is_done,
            "failures": failures,
            "error": progress.error,
        })
    }
}
