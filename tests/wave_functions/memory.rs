//! Memory budgets: a budget is not exceeded, or is refused with a sufficient one.

use ketformer::gpu::Gpu;
use ketformer::model::Ptf;
use ketformer::physics::{Lattice, Rydberg};
use ketformer::vmc::{TrainConfig, Trainer};
use ketformer::{Error, ErrorKind};

use super::cases::kinds;

/// Budget in MiB that the error for a smaller one suggests.
fn remedy(error: &Error) -> u64 {
    assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
    let text = error.to_string();
    let number = text.split("TrainConfig::memory=").nth(1).and_then(|text| text.split("MiB").next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no remedy: {text}"))
}

/// Smallest sufficient budget in bytes, to 4 KiB. `attempt` returns the error for an insufficient one.
pub fn least_memory(attempt: impl Fn(u64) -> Option<Error>) -> u64 {
    let mut enough = remedy(&attempt(0).expect("nothing fits into no memory")) << 20;
    let mut too_small = enough - (1 << 20);
    while enough - too_small > 1 << 12 {
        let middle = too_small.midpoint(enough);
        match attempt(middle) {
            None => enough = middle,
            Some(_) => too_small = middle,
        }
    }
    enough
}

fn config(samples: usize, memory: u64) -> TrainConfig {
    TrainConfig { samples, memory: Some(memory), ..TrainConfig::default() }
}

#[test]
fn buffers_fit_into_the_budget() {
    // A separate device: allocations of other tests on a shared one would be counted too.
    let gpu = Gpu::new().unwrap();
    for case in kinds() {
        for samples in [2, 65, 1000] {
            let new =
                |memory| Trainer::new(&gpu, &case.lattice, case.hamiltonian(), &*case.model, config(samples, memory));
            let least = remedy(&new(0).err().unwrap()) << 20;
            for memory in [least, least + least / 7, 10 * least] {
                let taken = new(memory).unwrap().memory();
                assert!(taken <= memory, "{}, {samples} samples: {taken} of {memory} bytes", case.name);
            }
            // Dropped buffers are freed.
            assert_eq!(gpu.allocated(), 0, "{}", case.name);
        }
    }
}

#[test]
fn a_budget_that_is_too_small_says_what_would_do() {
    let gpu = Gpu::new().unwrap();
    for case in kinds() {
        let new = |memory| Trainer::new(&gpu, &case.lattice, case.hamiltonian(), &*case.model, config(256, memory));
        for memory in [0, 1, 1 << 20] {
            let error = new(memory).err().expect("a budget of 1 MiB holds nothing");
            let remedy = remedy(&error);
            new(remedy << 20).unwrap_or_else(|then| panic!("{error}, but then {then}"));
            assert!(new((remedy - 1) << 20).is_err(), "{error}, but less is sufficient");
        }
    }
}

/// Network with the defaults of the public code, on 64 sites with 256 samples.
#[test]
fn the_default_network_on_64_sites_fits_into_a_gibibyte() {
    let gpu = Gpu::new().unwrap();
    let budget = 1 << 30;
    let ptf = Ptf::default();
    let trainer = Trainer::new(&gpu, &Lattice::square(8, 8), &Rydberg::default(), &ptf, config(256, budget)).unwrap();
    println!("{} {:?}", trainer.memory(), trainer.chunks());
    assert!(trainer.memory() <= budget, "{} bytes", trainer.memory());
    assert!(trainer.memory() > budget / 4, "{} bytes: the budget is not used", trainer.memory());
}
