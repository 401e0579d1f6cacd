//! Kernels in a browser: results on its adapter against the 64-bit references.

#![cfg(target_arch = "wasm32")]

use std::collections::BTreeMap;

use ketformer::gpu::{Gpu, GpuOptions};
use ketformer::kernels::{self, Case};
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// The last case of each variant.
fn last_of_variants(cases: Vec<Case>) -> impl Iterator<Item = Case> {
    let of_variant: BTreeMap<Option<String>, Case> =
        cases.into_iter().map(|case| (case.variant().map(String::from), case)).collect();
    of_variant.into_values()
}

/// Waits for the other errors that follow from the first one.
async fn forget_errors(gpu: &Gpu) {
    let settled = async || gpu.upload("settled", &[0u32; 4])?.read_async::<u32>(gpu, 4).await;
    for _ in 0..10 {
        settled().await.ok();
    }
}

#[wasm_bindgen_test]
async fn kernels_agree_with_their_references() {
    let gpu = Gpu::request(&GpuOptions::default()).await.unwrap();
    console_log!("{:?}", gpu.info());
    let mut failed = Vec::new();
    let mut all = 0;
    for entry in kernels::ALL {
        for case in last_of_variants((entry.cases)(&gpu)) {
            let name = format!("{}: {}", entry.kernel().name, case.name);
            all += 1;
            match case.run_async(&gpu).await {
                Ok(words) => {
                    let found = case.compare(&words);
                    failed.extend(found.iter().filter(|f| !f.passed()).map(|f| format!("{name}: {f:?}")));
                }
                Err(error) => {
                    failed.push(format!("{name}: {error}"));
                    forget_errors(&gpu).await;
                }
            }
        }
    }
    console_log!("{all} cases");
    assert!(all > 0 && failed.is_empty(), "{all} cases\n{}", failed.join("\n"));
}
