//! Output of clap: parse errors as one line, and text printed on request, such as `--help`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Command, CommandFactory};

use crate::cli::arguments::Arguments;
use crate::cli::{groups, output, suggestion};

/// Prints `error` of the words `typed`: help and version on stdout with exit code 0, or 1 if stdout cannot be written; a parse error as one
/// line with exit code 2.
pub fn explain(error: &Error, typed: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::line(error.render().to_string().trim_end());
            ExitCode::from(u8::from(!output::is_complete()))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let text = match command(typed).get_name() {
                "gpt" => {
                    "no command of gpt given; `ketformer gpt --help` lists them, `ketformer gpt train task=sort` runs one"
                }
                _ => "no command given; `ketformer help` lists them, `ketformer train L=16 steps=1000` runs one",
            };
            output::error(&text);
            ExitCode::from(2)
        }
        _ => {
            output::error(&text(error, typed));
            ExitCode::from(2)
        }
    }
}

/// One line for a parse error of the words `typed`.
fn text(error: &Error, typed: &[OsString]) -> String {
    let text = one_line(&error.render().to_string());
    match error.kind() {
        ErrorKind::UnknownArgument => with_hint(&text, invalid(error, ContextKind::InvalidArg), |word| {
            let name = word.trim_start_matches('-').split('=').next().unwrap_or_default();
            let flags = flags(typed);
            let near = suggestion::closest(name, flags.iter().map(String::as_str));
            let setting = || groups::all().any(|group| group.keys.iter().any(|key| key.name == name));
            match near {
                Some(near) => Some(format!("did you mean --{near}?")),
                None => setting().then(|| format!("{name} is a setting: give {name}=VALUE without --")),
            }
        }),
        ErrorKind::InvalidSubcommand => with_hint(&text, invalid(error, ContextKind::InvalidSubcommand), |word| {
            let command = command(typed);
            let names = command.get_subcommands().map(Command::get_name);
            suggestion::closest(word, names).map(|near| format!("did you mean {near}?"))
        }),
        _ => text,
    }
}

/// `text` with the hint in place of clap's, which distinguishes upper and lower case.
fn with_hint(text: &str, word: Option<&str>, hint: impl FnOnce(&str) -> Option<String>) -> String {
    let hint = word.and_then(hint);
    let said = text.split("; ").next().unwrap_or(text);
    let hint = hint.map_or(String::new(), |hint| format!("{hint}; "));
    format!("{said}; {hint}{EXPLAINS}")
}

/// The word of a parse error.
fn invalid(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word),
        _ => None,
    }
}

/// Flags of the command among the words `typed`. A line without a command, which is one of the reference code, trains.
fn flags(typed: &[OsString]) -> Vec<String> {
    let found = command(typed);
    let command = match found.has_subcommands() {
        true => found.find_subcommand("train").unwrap_or(&found),
        false => &found,
    };
    command.get_arguments().filter_map(|flag| flag.get_long().map(String::from)).collect()
}

/// Command that the first words of `typed` name, such as `gpt sample`; the program if there is none.
fn command(typed: &[OsString]) -> Command {
    let mut command = Arguments::command();
    for word in typed.iter().skip(1) {
        if let Some(found) = command.find_subcommand(word) {
            command = found.clone();
        }
    }
    command
}

/// Joins clap's `error: …` and optional `tip: …` in one line and drops the usage text that follows them.
fn one_line(rendered: &str) -> String {
    let said = rendered.split("Usage:").next().unwrap_or(rendered).replace("For more information, try '--help'.", "");
    let mut text = String::new();
    for part in said.lines().map(str::trim).filter(|part| !part.is_empty()) {
        let part = part.strip_prefix("error: ").unwrap_or(part);
        match part.strip_prefix("tip: ") {
            Some(tip) => text += &format!("; {tip}"),
            None if text.is_empty() => text += part,
            None => text += &format!(" {part}"),
        }
    }
    let text = match text.contains("cannot be used multiple times") {
        true => format!("{text}; put its settings together"),
        false => text,
    };
    format!("{text}; {EXPLAINS}")
}

/// Last part of every parse error.
const EXPLAINS: &str = "`ketformer help` explains";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn said(line: &str) -> String {
        let typed: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Arguments::try_parse_from(&typed).map(|_| ()).expect_err(line);
        let text = text(&error, &typed);
        assert!(!text.contains('\n') && !text.contains("Usage") && text.ends_with("explains"), "{text}");
        text
    }

    #[test]
    fn faults_are_one_line_with_a_remedy() {
        assert!(said("ketformer train --ptf Nh=8 --rydberg --ptf Nh=16").contains("--ptf"));
        assert!(said("ketformer train --ptf --ptf").contains("put its settings together"));
        assert!(said("ketformer tarin").contains("train"));
        assert!(said("ketformer train --ouf x").contains("--out"));
        assert!(said("ketformer train --memory -3GiB").contains("--memory"));
        assert!(said("ketformer train --memory 3XB").contains("512MiB"));
        assert!(said("ketformer train --adapter").contains("--adapter"));
    }

    #[test]
    fn mistyped_flags_and_commands_get_a_suggestion() {
        for (line, meant) in [
            ("train --RYDBERG L=4", "--rydberg"),
            ("train --PTF", "--ptf"),
            ("train --Lptf patch=4", "--lptf"),
            ("train --ViT", "--vit"),
            ("train --TENSORBOARD", "--tensorboard"),
            ("sweep --Tfim h=0:1:0.5", "--tfim"),
            ("exact --heisenburg", "--heisenberg"),
            ("eval out/1 --Symmetrize", "--symmetrize"),
            ("report out/1 --OUT=page.html", "--out"),
            ("--TRAIN L=4", "--train"),
            ("--RYDBERG L=4", "--rydberg"),
            ("TRAIN", "train"),
            ("Doctor", "doctor"),
            ("evl", "eval"),
            ("gpt sampel out/1", "sample"),
            ("gpt eval out/1 --jsno", "--json"),
            ("gpt train --TENSORBOARD", "--tensorboard"),
        ] {
            let text = said(&format!("ketformer {line}"));
            assert!(text.contains(&format!("did you mean {meant}?")), "{line}: {text}");
        }
        assert!(said("ketformer train --steps=5").contains("give steps=VALUE without --"));
        assert!(!said("ketformer train --unheard").contains("did you mean"));
    }
}
