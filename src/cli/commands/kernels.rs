//! `ketformer kernels [NAME]`: the list of kernels, or the assembled WGSL of one.

use ketformer::kernels;
use ketformer::{Error, ErrorKind, Result};

use crate::cli::{Outcome, output, suggestion};

/// Prints the list, or the shader of one kernel with imports resolved and constants at their defaults.
///
/// # Errors
/// `ErrorKind::Settings` if there is no kernel of that name, `ErrorKind::Shader` if it does not assemble.
pub fn run(name: Option<&str>) -> Result<Outcome> {
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
    output::line(entry.kernel().assemble(&[])?.trim_end());
    Ok(Outcome::Done)
}
