//! Test that random command lines are refused or honored: an accepted value is the one that the run has and records.

use std::panic::catch_unwind;

use clap::Parser;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::WaveFunctionTraining;
use crate::cli::arguments::{Arguments, Command};
use crate::cli::groups::hamiltonian::Hamiltonians;
use crate::cli::groups::train;
use crate::cli::groups::wave_function::WaveFunctions;
use crate::cli::settings::typed::Table;
use crate::cli::settings::{Extent, Group, Key, KeyKind, Settings, Value};
use crate::cli::training::Job;

const LINES: u64 = 5000;

/// Wave functions that are valid on lattices of 16 sites.
const MODELS: [&str; 6] = [
    "--ptf patch=2x2 Nh=16 nhead=2 ffn=16",
    "--rnn patch=2x2 Nh=16",
    "--lptf patch=4x2 Nh=16 nhead=2 ffn=16 --rnn L=8 patch=2x1 Nh=8",
    "--lptf patch=4x2 Nh=16 nhead=2 ffn=16 --ptf L=8 patch=2x1 Nh=8 nhead=2 ffn=8",
    "--rbm alpha=1",
    "--vit patch=2x2 d=8 heads=2 layers=1",
];

fn pick<T: Copy>(all: &[T], random: &mut SmallRng) -> T {
    all[random.random_range(0..all.len())]
}

/// A value for `key`, which may be out of its range.
fn value(key: &Key, random: &mut SmallRng) -> String {
    match key.kind {
        _ if random.random_range(0..40) == 0 => {
            pick(&["", "-1", "0", "1e300", "NaN", "x", "None", "2x2"], random).into()
        }
        KeyKind::Choice(words) => pick(words, random).into(),
        KeyKind::Switch | KeyKind::Axes => pick(&["true", "false", "True", "FALSE"], random).into(),
        KeyKind::Extent(_) => pick(&["16", "4x4"], random).into(),
        KeyKind::Interval(_) => pick(&["16", "10min", "16,10min", "30s"], random).into(),
        KeyKind::Text => pick(&["2x2", "4", "2x1", "a"], random).into(),
        KeyKind::Count(..) | KeyKind::Seed => pick(&["1", "2", "4", "8", "16"], random).into(),
        KeyKind::PositiveOr(_, word) => pick(&["1", "0.75", word], random).into(),
        KeyKind::Real(..) | KeyKind::Positive(_) => pick(&["0.25", "1e-3", "-0.5", "1", "0.7500"], random).into(),
    }
}

/// A group and some of its keys with values.
fn some(group: &'static Group, random: &mut SmallRng) -> Vec<String> {
    let count = random.random_range(0..3);
    let mut word = || {
        let key = &group.keys[random.random_range(0..group.keys.len())];
        format!("{}={}", key.name, value(key, random))
    };
    (0..count).map(|_| word()).collect()
}

/// Random words of a command: settings of training, a wave function and perhaps a Hamiltonian.
fn line(random: &mut SmallRng) -> Vec<(&'static str, Vec<String>)> {
    let mut groups = vec![("train", [vec!["L=16".to_string()], some(&train::GROUP, random)].concat())];
    for part in pick(&MODELS, random).split("--").filter(|part| !part.is_empty()) {
        let mut words = part.split_whitespace();
        let name = words.next().expect("a name");
        let group = WaveFunctions::groups().find(|group| group.name == name).expect("a group");
        groups.push((group.name, words.map(String::from).chain(some(group, random)).collect()));
    }
    let hamiltonians: Vec<&'static Group> = Hamiltonians::groups().collect();
    if random.random() {
        let group = pick(&hamiltonians, random);
        groups.push((group.name, some(group, random)));
    }
    // A key that is given twice is an error; here the second one replaces the first.
    for (_, words) in &mut groups {
        let name = |word: &String| word.split('=').next().map(String::from);
        let given = words.clone();
        let mut at = 0;
        words.retain(|word| {
            at += 1;
            !given[at..].iter().any(|later| name(later) == name(word))
        });
    }
    groups
}

fn job(groups: &[(&'static str, Vec<String>)]) -> Option<Job<WaveFunctionTraining>> {
    let words = groups.iter().flat_map(|(name, words)| {
        let flag = (*name != "train").then(|| format!("--{name}"));
        flag.into_iter().chain(words.iter().cloned())
    });
    let typed = ["ketformer".to_string(), "train".into()].into_iter().chain(words);
    match Arguments::try_parse_from(typed).ok()?.command {
        Command::Train(arguments) => match WaveFunctionTraining::job(&arguments) {
            Ok(job) => Some(job),
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains('\n') && text.contains(';'), "a line with a remedy, not {text:?}");
                None
            }
        },
        other => panic!("{other:?}"),
    }
}

/// Whether `word` says the same as the value that the settings have under its name.
fn honored(settings: &Settings, word: &str) -> bool {
    let (name, typed) = word.split_once('=').expect("a setting");
    let group = settings.group();
    let key = group.keys.iter().find(|key| key.name == name).expect("a key of the group");
    let found = settings.resolved().find(|(known, _)| *known == name).map(|(_, value)| value);
    match found {
        _ if key.inert.is_some() => true,
        // Drawn, or derived from other settings.
        _ if typed == "None" => true,
        None => false,
        Some(Value::Extent(Extent::Sites(sites))) => {
            let sides: Option<Vec<u64>> = typed.split('x').map(|side| side.parse().ok()).collect();
            sides.is_some_and(|sides| sides.iter().product::<u64>() == *sites)
        }
        Some(value) => {
            let number = |text: &str| text.parse::<f64>().ok();
            let text = value.to_string();
            text.eq_ignore_ascii_case(typed) || number(&text).is_some_and(|value| number(typed) == Some(value))
        }
    }
}

#[test]
fn values_are_refused_or_honored() {
    let mut accepted = 0;
    for seed in 0..LINES {
        let groups = line(&mut SmallRng::seed_from_u64(seed));
        let job = catch_unwind(|| job(&groups)).unwrap_or_else(|_| panic!("{groups:?}"));
        let Some(job) = job else { continue };
        accepted += 1;
        for (name, words) in &groups {
            let own = std::iter::once(&job.settings).chain(job.training.problem.settings());
            let own = own.into_iter().find(|settings| settings.group().name == *name).expect("settings of the group");
            for word in words {
                assert!(honored(own, word), "{word} of {groups:?}: {}", job.command);
            }
        }
    }
    assert!(accepted > LINES / 10, "{accepted} of {LINES} lines are accepted");
}
