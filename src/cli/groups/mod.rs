//! Groups of settings, one file each, and the problem that they define together.

pub mod eval;
pub mod gpt;
pub mod hamiltonian;
pub mod lattice;
mod parse;
mod problem;
pub mod report;
pub mod sample;
pub mod train;
pub mod wave_function;

use crate::cli::settings::Group;
use crate::cli::settings::typed::Table;
use hamiltonian::Hamiltonians;
pub use problem::Problem;
use wave_function::WaveFunctions;

/// Every group, for `ketformer help` and for suggestions of keys of another group.
pub fn all() -> impl Iterator<Item = &'static Group> {
    let problem = WaveFunctions::groups().chain(Hamiltonians::groups());
    std::iter::once(&train::GROUP).chain(problem).chain([&eval::GROUP, &sample::GROUP, &report::GROUP]).chain([
        &gpt::GROUP,
        &gpt::sample::GROUP,
        &gpt::eval::GROUP,
        &gpt::report::GROUP,
        &gpt::tune::GROUP,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::KeyKind;

    #[test]
    fn every_table_parses_its_own_defaults_and_names_no_key_twice() {
        for group in all() {
            group.parse(&[]).unwrap();
            let mut names: Vec<&str> = group.keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), group.keys.len(), "{}", group.name);
            for key in group.keys {
                assert!(!key.help.is_empty() && !key.help.contains('\n'), "{}: {}", group.name, key.name);
                if let (KeyKind::Choice(words), Some(default)) = (key.kind, key.default) {
                    assert!(words.contains(&default), "{}: {}", group.name, key.name);
                }
            }
        }
    }
}
