//! Test cases of [`crate::kernels::vmc::spins`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::rows::Window;
use crate::kernels::vmc::spins::{RowsSpins, SPINS, spins_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry = Entry { kernel: &SPINS, summary: "spins of samples as rows", cases };

fn cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 1, 0, 1), (9, 4, 3, 2, 5), (100, 1, 7, 0, 100), (35_000, 2, 2, 10, 34_990)];
    shapes.into_iter().flat_map(|shape| [case(shape, false), case(shape, true)]).collect()
}

fn case((samples, patches, p, first, most): (u32, u32, u32, u32, u32), picked: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    let tokens = random.integers((samples * patches) as usize, 1 << p);
    let sample_of = random.integers(samples as usize, samples);
    let of = |row: u32| if picked { sample_of[(first + row) as usize] } else { first + row };
    let t = patches as usize;
    let expected = (0..most).flat_map(|row| spins_reference(&tokens[of(row) as usize * t..][..t], p)).collect();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let mut spins = RowsSpins::from_case(buffers)?;
        spins.sample_of = spins.sample_of.filter(|_| picked);
        spins.record(plan, &Window { items: most.into(), first, capacity: most, samples, patches }, p)
    };
    Case {
        name: format!("({samples}, {patches}) of {p} from {first}, picked {picked}"),
        inputs: vec![("tokens", tokens.into()), ("sample_of", sample_of.into())],
        outputs: vec![("spins", Expected::Near { values: expected, tolerance: 1e-7 })],
        record: Box::new(record),
    }
}
