//! Frame of a page: header, navigation, sections and script.

use super::markup::escaped;
use crate::error::{Error, ErrorKind, Result};
use crate::plot_style::Fault;
use crate::run::RunSettings;

/// Section of a page: anchor, heading and content.
pub(super) type Section = (&'static str, &'static str, String);

/// Number in the header: name, value and note; all HTML.
pub(super) type Number = (&'static str, String, String);

/// Header of a page: title, origin, assessment (text), numbers, and HTML after them.
pub(super) fn header(title: &str, settings: &RunSettings, assessed: &str, numbers: Vec<Number>, end: &str) -> String {
    let numbers: String = numbers
        .into_iter()
        .map(|(name, number, note)| {
            let note = if note.is_empty() { note } else { format!("<dd class=\"note\">{note}</dd>") };
            format!("<div><dt>{name}</dt><dd>{number}</dd>{note}</div>\n")
        })
        .collect();
    format!(
        "<header>\n<p class=\"kind\">ketformer report</p>\n<h1>{}</h1>\n<p class=\"origin\">{} · seed {} · version {}</p>\n\
         <p class=\"assessment\">{}</p>\n<dl class=\"numbers\">\n{numbers}</dl>\n{end}</header>\n",
        escaped(title),
        escaped(&settings.last_adapter().described()),
        settings.seed,
        escaped(&settings.version),
        escaped(assessed),
    )
}

/// HTML of the page of the run called `title`, unless drawing it failed.
///
/// # Errors
/// [`ErrorKind::File`] if it did.
pub(super) fn drawn(title: &str, page: std::result::Result<String, Fault>) -> Result<String> {
    page.map_err(|cause| {
        let text = format!("report: cannot draw {title}: {cause}; metrics.csv has the numbers");
        Error::new(ErrorKind::File, text)
    })
}

/// A page with its header, and JSON data for the script.
pub(super) fn page(title: &str, head: &str, sections: &[Section], data: &str) -> String {
    let links: String =
        sections.iter().map(|(anchor, heading, _)| format!("<a href=\"#{anchor}\">{heading}</a>\n")).collect();
    let body: String = sections
        .iter()
        .map(|(anchor, heading, inside)| {
            let label = format!("{anchor}-heading");
            format!(
                "<section id=\"{anchor}\" aria-labelledby=\"{label}\">\n<h2 id=\"{label}\">{heading}</h2>\n{inside}</section>\n"
            )
        })
        .collect();
    let data = format!("<script type=\"application/json\" id=\"correlation-data\">{data}</script>");
    crate::page::Page {
        title,
        style: include_str!("page.css"),
        body: &format!("{head}<nav aria-label=\"Parts of the page\">\n{links}</nav>\n<main>\n{body}</main>\n{data}\n"),
        script: include_str!("page.js"),
    }
    .html()
}
