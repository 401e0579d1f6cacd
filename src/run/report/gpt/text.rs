//! Sampled texts.

use super::GptPage;
use crate::run::report::markup::{escaped, shown};

/// The prompt with its continuation at each temperature.
pub(super) fn section(page: &GptPage) -> String {
    let (prompt, texts) = &page.texts;
    let text = |(temperature, text): &(f64, String)| {
        format!(
            "<figure>\n<pre><b>{}</b>{}</pre>\n<figcaption>Temperature {}</figcaption>\n</figure>\n",
            escaped(prompt),
            escaped(text),
            shown(*temperature, 2)
        )
    };
    format!(
        "<p>Continuations of the prompt, in bold, by {}. The temperature divides the logits: below 1 likely tokens become \
         more likely.</p>\n<div class=\"figures\">\n{}</div>\n",
        escaped(&page.origin.described()),
        texts.iter().map(text).collect::<String>()
    )
}
