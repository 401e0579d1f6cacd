//! `ketformer help [GROUP|COMMAND]`.

use clap::CommandFactory;
use ketformer::{Error, ErrorKind, Result};

use crate::cli::arguments::Arguments;
use crate::cli::settings::{Group, Key, KeyKind};
use crate::cli::{Outcome, groups, output, suggestion};

/// Prints the help of a group or a command, or of the program if `subject` is `None`.
///
/// # Errors
/// `ErrorKind::Settings` if there is no such group or command.
pub fn run(subject: Option<&str>) -> Result<Outcome> {
    let mut program = Arguments::command();
    program.build();
    let Some(subject) = subject.map(|subject| subject.trim_start_matches('-')) else {
        output::line(program.render_long_help().to_string().trim_end());
        output::line("\nGroups of settings (`ketformer help GROUP` lists the keys):");
        let width = groups::all().map(|group| group.name.len()).max().unwrap_or(0);
        for group in groups::all() {
            output::line(format!("  {:<width$}  {}", group.name, group.about));
        }
        return Ok(Outcome::Done);
    };
    let group = groups::all().find(|group| group.name == subject);
    let command = program.find_subcommand_mut(subject);
    if let Some(group) = group {
        output::line(keys(group));
        // The groups of its commands.
        let prefix = format!("{}-", group.name);
        groups::all()
            .filter(|other| other.name.starts_with(&prefix))
            .for_each(|other| output::line(format!("\n{}", keys(other))));
        if command.is_some() {
            output::line(format!("\nFlags: ketformer {subject} --help"));
        }
    } else if let Some(command) = command {
        output::line(command.render_long_help().to_string().trim_end());
    } else {
        let names = groups::all().map(|group| group.name).chain(program.get_subcommands().map(|c| c.get_name()));
        let hint = match suggestion::closest(subject, names) {
            Some(near) => format!("did you mean {near}?"),
            None => {
                let groups: Vec<&str> = groups::all().map(|group| group.name).collect();
                format!("give {} or a command", groups.join(", "))
            }
        };
        return Err(Error::new(ErrorKind::Settings, format!("help: there is no `{subject}`; {hint}")));
    }
    Ok(Outcome::Done)
}

/// Table of a group's keys.
fn keys(group: &Group) -> String {
    let header = ["key".to_string(), "default".into(), "takes".into(), "meaning [unit]".into()];
    let rows = group.keys.iter().map(|key| {
        let meaning = match (key.inert, key.unit) {
            (Some(why), _) => format!("{}: {why}", key.help),
            (None, "") => key.help.into(),
            (None, unit) => format!("{} [{unit}]", key.help),
        };
        [key.name.into(), default(key).into(), kind(key), meaning]
    });
    format!("{}: {}\n\n{}", group.name, group.about, output::table(std::iter::once(header).chain(rows)))
}

fn default(key: &Key) -> &'static str {
    key.default.unwrap_or("-")
}

fn kind(key: &Key) -> String {
    match key.kind {
        KeyKind::Count(..) => "whole number".into(),
        KeyKind::Extent(_) => "number or sides".into(),
        KeyKind::Real(..) => "number".into(),
        KeyKind::Positive(_) => "number > 0".into(),
        KeyKind::PositiveOr(_, word) => format!("number > 0 or {word}"),
        KeyKind::Interval(_) => "steps, time or both".into(),
        KeyKind::Seed => "whole number or None".into(),
        KeyKind::Switch => "true or false".into(),
        KeyKind::Axes => "true, x, y or false".into(),
        KeyKind::Choice(words) => words.join(" or "),
        KeyKind::Text => "text".into(),
    }
}
