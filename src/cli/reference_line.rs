//! Command lines of the reference code, `train.py --train L=64 … --ptf … --rydberg …`, pasted after the program's name.

use std::ffi::{OsStr, OsString};

use crate::cli::groups;

/// Inserts the subcommand that the reference code does not have: `train`, or `help GROUP` for `--help --GROUP`. Lines
/// that begin with a subcommand, or have no group, are returned unchanged.
pub fn with_subcommand(typed: Vec<OsString>) -> Vec<OsString> {
    let first_is_flag = typed.get(1).and_then(|word| word.to_str()).is_some_and(|word| word.starts_with("--"));
    let Some(group) = typed.iter().find_map(|word| group_of(word)).filter(|_| first_is_flag) else {
        return typed;
    };
    let program = typed[0].clone();
    if typed.iter().any(|word| word == "--help") {
        return vec![program, "help".into(), group.into()];
    }
    [program, "train".into()].into_iter().chain(typed.into_iter().skip(1)).collect()
}

fn group_of(word: &OsStr) -> Option<&'static str> {
    let name = word.to_str()?.strip_prefix("--")?;
    // The reference code only trains: `--eval`, `--sample` and `--report` are not among its flags.
    let ours = [groups::eval::GROUP.name, groups::sample::GROUP.name, groups::report::GROUP.name];
    groups::all()
        .filter(|group| !group.is_gpt())
        .map(|group| group.name)
        .find(|group| *group == name && !ours.contains(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let words = with_subcommand(line.split(' ').map(OsString::from).collect());
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_pasted_line_trains() {
        assert_eq!(rewritten("ketformer --train L=64 --ptf patch=2x2"), "ketformer train --train L=64 --ptf patch=2x2");
        assert_eq!(rewritten("ketformer --rydberg --train L=64 --ptf"), "ketformer train --rydberg --train L=64 --ptf");
        assert_eq!(rewritten("ketformer --quiet --train L=64"), "ketformer train --quiet --train L=64");
        assert_eq!(rewritten("ketformer --help --ptf"), "ketformer help ptf");
    }

    #[test]
    fn other_lines_stay() {
        for line in
            ["ketformer", "ketformer --help", "ketformer --version", "ketformer eval r --ptf Nh=4", "ketformer x"]
        {
            assert_eq!(rewritten(line), line);
        }
    }
}
