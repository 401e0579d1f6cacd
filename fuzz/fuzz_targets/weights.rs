//! Weights: what is read back after saving is what was read.

#![no_main]

use ketformer::model::Weights;
use ketformer_fuzz::{check_error, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = file("weights.safetensors", bytes);
    match Weights::load(&path) {
        Err(error) => check_error(&error, &path),
        Ok(weights) => {
            let sizes = weights.tensors.values().map(|tensor| (tensor.shape.iter().product(), tensor.values.len()));
            assert!(sizes.into_iter().all(|(shape, values): (usize, usize)| shape == values));
            weights.save(&path).expect("weights that can be saved");
            let bits = |weights: &Weights| -> Vec<(String, Vec<usize>, Vec<u32>)> {
                let tensors = weights.tensors.iter();
                tensors
                    .map(|(name, tensor)| {
                        (
                            name.clone(),
                            tensor.shape.clone(),
                            tensor.values.iter().map(|value| value.to_bits()).collect(),
                        )
                    })
                    .collect()
            };
            assert_eq!(bits(&Weights::load(&path).expect("saved weights")), bits(&weights));
        }
    }
});
