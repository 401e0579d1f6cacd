//! Scan of WGSL text: comments blanked out, `override` declarations made constants, turns of loops counted. Lines keep their
//! numbers.

/// The text with every byte of a comment replaced by a space. Same length, same lines.
pub(super) fn without_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let (mut at, mut depth) = (0, 0);
    while at < bytes.len() {
        let pair = &bytes[at..bytes.len().min(at + 2)];
        let skipped = match pair {
            b"//" if depth == 0 => text[at..].find('\n').unwrap_or(bytes.len() - at),
            b"/*" => {
                depth += 1;
                2
            }
            b"*/" if depth > 0 => {
                depth -= 1;
                out[at..at + 2].fill(b' ');
                at += 2;
                continue;
            }
            _ if depth > 0 => 1,
            _ => {
                at += 1;
                continue;
            }
        };
        out[at..at + skipped].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at += skipped;
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Byte positions of `word` as a whole word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

/// Declaration `@id(1) override NAME: TYPE = DEFAULT;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    /// Bytes of the declaration, with its attribute and the semicolon.
    span: std::ops::Range<usize>,
    /// Name of the constant.
    pub name: String,
    /// Type, if it is written.
    pub ty: Option<String>,
    /// Initial value, if there is one.
    pub default: Option<String>,
}

/// All `override` declarations of a text.
pub(super) fn overrides(text: &str) -> Vec<Override> {
    let code = without_comments(text);
    let declaration = |at: usize| {
        let end = at + code[at..].find(';')? + 1;
        let body = &code[at + "override".len()..end - 1];
        let (head, default) = match body.split_once('=') {
            Some((head, default)) => (head, Some(default.trim().to_string())),
            None => (body, None),
        };
        let (name, ty) = match head.split_once(':') {
            Some((name, ty)) => (name, Some(ty.trim().to_string())),
            None => (head, None),
        };
        let before = code[..at].trim_end();
        let id = before.rfind("@id").filter(|id| before.ends_with(')') && !before[*id..].contains([';', '\n']));
        Some(Override { span: id.unwrap_or(at)..end, name: name.trim().into(), ty, default })
    };
    words(&code, "override").filter_map(declaration).collect()
}

/// The text with every `override` as a constant: `value` returns the expression that replaces its initial value. The name
/// of the first one without any value is the error.
pub(super) fn with_constants(text: &str, value: impl Fn(&Override) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut at = 0;
    for declaration in overrides(text) {
        let expression = value(&declaration).or_else(|| declaration.default.clone()).ok_or(declaration.name.clone())?;
        let ty = declaration.ty.as_ref().map(|ty| format!(": {ty}")).unwrap_or_default();
        let lines = text[declaration.span.clone()].matches('\n').count() - expression.matches('\n').count();
        out += &text[at..declaration.span.start];
        out += &format!("const {}{ty} = {expression};{}", declaration.name, "\n".repeat(lines));
        at = declaration.span.end;
    }
    Ok(out + &text[at..])
}

/// The text in which `statement` is the first one of the body of every loop.
pub(super) fn in_loops(text: &str, statement: &str) -> String {
    let code = without_comments(text);
    let mut bodies: Vec<usize> = Vec::new();
    for (keyword, has_head) in [("loop", false), ("while", true), ("for", true)] {
        for at in words(&code, keyword) {
            let after = at + keyword.len();
            let head = if has_head { head_length(&code[after..]) } else { Some(0) };
            bodies.extend(head.and_then(|head| Some(after + head + code[after + head..].find('{')? + 1)));
        }
    }
    bodies.sort_unstable();
    let mut out = String::new();
    let mut at = 0;
    for body in bodies {
        out += &text[at..body];
        out += &format!(" {statement} ");
        at = body;
    }
    out + &text[at..]
}

/// Bytes up to the end of the head of a loop. The head of a `for` is in parentheses; that of a `while` is an expression, in
/// which no brace occurs.
fn head_length(code: &str) -> Option<usize> {
    if !code.trim_start().starts_with('(') {
        return code.find('{');
    }
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_blanked_in_place() {
        let text = "a // override X: u32;\nb /* c /* d */ é\n */ e";
        let code = without_comments(text);
        assert_eq!((code.len(), code.matches('\n').count()), (text.len(), 2));
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "e"]);
        assert_eq!(without_comments("x // no end"), "x          ");
    }

    #[test]
    fn overrides_become_constants_of_the_given_values() {
        let text = "// override A: u32;\n@id(3) override S: u32;\noverride D: i32 = 64;\noverride\n  F\n  : bool;\n\
                    override_x override T = S / 2u;";
        let value = |declaration: &Override| match declaration.name.as_str() {
            "S" => Some("7u".to_string()),
            "F" => Some("true".to_string()),
            _ => None,
        };
        let made = with_constants(text, value).unwrap();
        assert_eq!(made.lines().count(), text.lines().count());
        for line in ["const S: u32 = 7u;", "const D: i32 = 64;", "const F: bool = true;", "const T = S / 2u;"] {
            assert!(made.contains(line), "{made}");
        }
        assert!(made.contains("// override A") && !made.contains("@id"), "{made}");
        assert_eq!(with_constants("override LEFT: u32;", |_| None).unwrap_err(), "LEFT");
    }

    #[test]
    fn loops_count_their_turns() {
        let text = "for (var i = f(1); i < 2; i++) { a(); } // for (;;) {\nloop { while i < (3) { b(); } }\nlooped { }";
        let counted = in_loops(text, "n();");
        assert_eq!(counted.matches("n();").count(), 3, "{counted}");
        assert!(counted.contains("i++) { n();  a();") && counted.contains("while i < (3) { n(); "), "{counted}");
    }
}
