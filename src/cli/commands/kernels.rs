//! `ketformer kernels [NAME [CONSTANT=VALUE…]]`: the list of kernels, or the assembled WGSL of one.

use ketformer::kernels;
use ketformer::{Error, ErrorKind, Result};

use crate::cli::{Outcome, output, suggestion};

/// Prints the list, or the shader of one kernel with imports resolved and constants at the given or default values.
///
/// # Errors
/// `ErrorKind::Settings` if there is no kernel or constant of that name, `ErrorKind::Shader` if it does not assemble.
pub fn run(name: Option<&str>, constants: &[String]) -> Result<Outcome> {
    let Some(name) = name else {
        let rows = kernels::ALL.iter().map(|entry| [entry.kernel().name.to_string(), entry.summary.to_string()]);
        output::line(output::table(rows));
        return Ok(Outcome::Done);
    };
    let names = || kernels::ALL.iter().map(|entry| entry.kernel().name);
    let Some(entry) = kernels::ALL.iter().find(|entry| entry.kernel().name == name) else {
        let hint = match suggestion::closest(name, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => "`ketformer kernels` lists them".into(),
        };
        return Err(Error::new(ErrorKind::Settings, format!("kernels: there is no kernel `{name}`; {hint}")));
    };
    let kernel = entry.kernel();
    let known: Vec<String> = kernel.spec_constants()?.into_iter().map(|constant| constant.name).collect();
    let values = constants.iter().map(|word| value(word, name, &known)).collect::<Result<Vec<_>>>()?;
    let shader = kernel.shader(&values)?;
    output::line(shader.text.trim_end());
    Ok(Outcome::Done)
}

/// Name and value of a word NAME=VALUE.
fn value<'a>(word: &'a str, kernel: &str, known: &[String]) -> Result<(&'a str, u32)> {
    let error = |message: String| Error::new(ErrorKind::Settings, format!("kernels: {message}"));
    let pair = word.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
    let (name, value) =
        pair.ok_or_else(|| error(format!("`{word}` is not a value of a constant; give NAME=NUMBER")))?;
    if known.iter().any(|constant| constant == name) {
        return Ok((name, value));
    }
    let all = if known.is_empty() { "it has none".into() } else { format!("give {}", known.join(", ")) };
    Err(error(format!("{kernel} has no constant `{name}`; {all}")))
}
