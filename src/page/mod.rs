//! HTML pages in one file: frame, common style, escaped text. A page fetches nothing.

/// Text escaped for an element or an attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

/// Figure of a class with its content and its caption, both HTML.
pub(crate) fn figure(class: &str, inside: &str, caption: &str) -> String {
    format!("<figure class=\"{class}\">\n{inside}\n<figcaption>{caption}</figcaption>\n</figure>\n")
}

/// Page with its own style after the common one, in `base.css`.
pub(crate) struct Page<'a> {
    /// Title of the window, a text.
    pub title: &'a str,
    /// CSS.
    pub style: &'a str,
    /// HTML between the start of the page and its script.
    pub body: &'a str,
    /// JavaScript.
    pub script: &'a str,
}

impl Page<'_> {
    /// The whole page. Its content security policy forbids it to fetch anything.
    pub(crate) fn html(&self) -> String {
        let Self { style, body, script, .. } = self;
        let (title, base) = (escaped(self.title), include_str!("base.css"));
        let policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title} – ketformer</title>\n<style>\n{base}{style}</style>\n</head>\n<body>\n\
             {body}<script>\n{script}</script>\n</body>\n</html>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escaped("<a href=\"x\">'&'</a> é"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt; é");
    }
}
