//! Wave functions that train in a window, or in a page: `cargo run --release -p ketformer-live`, or `build.sh`.

mod app;
mod bench;
mod controls;
mod device;
mod doctor;
mod energy_plot;
mod exact;
mod history;
mod lattice_panel;
mod lattice_view;
mod mask;
mod pacing;
mod settings;
mod sorter;
mod storage;
mod task;
mod theme;
mod training;
mod widgets;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod page;

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    native::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {
    page::main();
}
