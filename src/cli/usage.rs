//! Output of clap: parse errors as one line, and text printed on request, such as `--help`.

use std::process::ExitCode;

use clap::error::{Error, ErrorKind};

use crate::cli::output;

/// Prints `error`: help and version on stdout with exit code 0, or 1 if stdout cannot be written; a parse error as one
/// line with exit code 2.
pub fn explain(error: &Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::line(error.render().to_string().trim_end());
            ExitCode::from(u8::from(!output::is_complete()))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            output::error(&"no command given; `ketformer help` lists them, `ketformer train L=16 steps=1000` runs one");
            ExitCode::from(2)
        }
        _ => {
            output::error(&one_line(&error.render().to_string()));
            ExitCode::from(2)
        }
    }
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
    format!("{text}; `ketformer help` explains")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::Arguments;

    fn said(line: &str) -> String {
        let error = Arguments::try_parse_from(line.split(' ')).map(|_| ()).expect_err(line);
        let text = one_line(&error.render().to_string());
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
}
