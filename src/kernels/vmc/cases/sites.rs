//! Test cases of [`crate::kernels::vmc::sites`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::sites::{
    CORRELATIONS, OCCUPATIONS, SiteCorrelations, SiteOccupations, SiteWords, SitesShape, WORDS, correlations_reference,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const OCCUPATIONS_ENTRY: Entry =
    Entry { kernel: &OCCUPATIONS, summary: "occupations in site order", cases: occupations_cases };
pub(crate) const WORDS_ENTRY: Entry =
    Entry { kernel: &WORDS, summary: "occupations of 32 samples in a word", cases: words_cases };
pub(crate) const CORRELATIONS_ENTRY: Entry =
    Entry { kernel: &CORRELATIONS, summary: "densities and connected correlations", cases: correlations_cases };

fn occupations_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1, 1), (7, 3, 5), (63, 4, 4), (70_001, 2, 2)].into_iter().map(occupations_case).collect()
}

fn occupations_case((samples, patches, p): (u32, u32, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    let tokens = random.integers((samples * patches) as usize, 1 << p);
    // Sites in reverse order of the patches.
    let sites = patches * p;
    let places: Vec<u32> = (0..sites).rev().map(|site| site / p * 32 + site % p).collect();
    let bits = |row: &[u32]| places.iter().map(|place| row[(place >> 5) as usize] >> (place & 31) & 1).collect();
    let expected = tokens.chunks(patches as usize).flat_map::<Vec<u32>, _>(bits).collect();
    Case {
        name: format!("({samples}, {patches}) of {p}"),
        inputs: vec![("tokens", tokens.into()), ("places", places.into())],
        outputs: vec![("occupations", Expected::Exactly(expected))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            SiteOccupations::from_case(buffers)?.record(plan, SitesShape { samples, sites }, patches)
        }),
    }
}

/// Samples and sites, and their occupations.
fn batches() -> impl Iterator<Item = (SitesShape, Vec<u32>)> {
    [(1, 1), (31, 7), (32, 64), (33, 65), (70_001, 3)].into_iter().map(|(samples, sites)| {
        let shape = SitesShape { samples, sites };
        (shape, RandomInputs::new(u64::from(samples)).integers((samples * sites) as usize, 2))
    })
}

fn words(shape: SitesShape, occupations: &[u32]) -> Vec<u32> {
    let n = shape.sites as usize;
    let word = |rows: &[u32], i: usize| rows.chunks(n).enumerate().map(|(k, row)| row[i] << k).sum();
    occupations.chunks(32 * n).flat_map(|rows| (0..n).map(move |i| word(rows, i))).collect()
}

fn words_cases(_: &Gpu) -> Vec<Case> {
    let case = |(shape, occupations): (SitesShape, Vec<u32>)| Case {
        name: shape_name(shape),
        outputs: vec![("words", Expected::Exactly(words(shape, &occupations)))],
        inputs: vec![("occupations", occupations.into())],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            SiteWords::from_case(buffers)?.record(plan, shape)
        }),
    };
    batches().map(case).collect()
}

fn correlations_cases(_: &Gpu) -> Vec<Case> {
    let case = |(shape, occupations): (SitesShape, Vec<u32>)| {
        let (density, correlation) = correlations_reference(&occupations, shape.sites as usize);
        Case {
            name: shape_name(shape),
            inputs: vec![("words", words(shape, &occupations).into())],
            outputs: vec![
                ("density", Expected::Near { values: density, tolerance: 1e-6 }),
                ("correlation", Expected::Near { values: correlation, tolerance: 1e-6 }),
            ],
            record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
                SiteCorrelations::from_case(buffers)?.record(plan, shape)
            }),
        }
    };
    batches().map(case).collect()
}

fn shape_name(shape: SitesShape) -> String {
    format!("({}, {})", shape.samples, shape.sites)
}
