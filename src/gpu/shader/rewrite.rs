//! Source rewrites of WGSL: marked loops are unrolled, and bindings are read as textures instead of storage buffers.
//!
//! Both keep the arithmetic and its order. A loop of the form
//!
//! ```text
//! for (var i = 0u; i < BOUND; i++) { // unroll
//! ```
//!
//! with a constant bound becomes one block per i, in which i is a constant. An array that is indexed only by such names
//! can then be kept in registers on every driver.
//!
//! If a launch binds buffers that textures alias (`gpu::texels`), `x[i]` of a `var<storage, read>` array of vec4s
//! becomes a fetch of texel i. In a `read_write` array whose comment contains `read back`, every read becomes a fetch.
//! A binding whose comment contains `no texels` is not rewritten.

use crate::gpu::texels::WIDTH;

/// A problem of the source, for an error message.
type Fault = String;

/// Returns the source with every loop marked `// unroll` expanded.
///
/// # Errors
/// A loop whose header is not of the form above, or whose bound is not constant.
pub(in crate::gpu) fn unrolled(text: &str) -> Result<String, Fault> {
    if !text.contains("// unroll") {
        return Ok(text.to_string());
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut constants = Vec::new();
    for line in &lines {
        if let Some((name, value)) = line.strip_prefix("const ").and_then(|rest| rest.split_once(": u32 = "))
            && let Some((value, _)) = value.split_once(';')
            && let Ok(value) = evaluate(value, &constants)
        {
            constants.push((name.to_string(), value));
        }
    }
    let mut written = String::new();
    write_lines(&lines, &mut constants, &mut written)?;
    Ok(written)
}

fn write_lines(lines: &[&str], constants: &mut Vec<(String, u32)>, written: &mut String) -> Result<(), Fault> {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let Some(head) = line.trim().strip_suffix("// unroll") else {
            written.push_str(line);
            written.push('\n');
            continue;
        };
        let line = head.trim();
        let fault = |why: &str| format!("`{line}`: {why}");
        // The body is the rest of the line, or the lines up to the closing brace.
        let inline = line.strip_suffix('}').and_then(|line| line.split_once("{ "));
        let head = inline.map_or(line.to_string(), |(head, _)| format!("{head}{{"));
        let parts = head.strip_prefix("for (var ").and_then(|rest| rest.strip_suffix("++) {"));
        let parts: Option<Vec<&str>> = parts.map(|rest| rest.split("; ").collect());
        let Some([start, condition, counter]) = parts.as_deref() else {
            return Err(fault("an unrolled loop is `for (var i = 0u; i < BOUND; i++) {`"));
        };
        let bound = condition.strip_prefix(counter).and_then(|rest| rest.strip_prefix(" < "));
        let (Some(first), Some(bound)) = (start.strip_prefix(&format!("{counter} = ")), bound) else {
            return Err(fault("start and condition use another variable"));
        };
        let [first, bound] = [evaluate(first, constants)?, evaluate(bound, constants)?];
        let inline = inline.map(|(_, body)| [body]);
        let body = match &inline {
            Some(body) => &body[..],
            None => {
                let mut depth = 1;
                let length = lines[at..].iter().position(|line| {
                    let code = line.split("//").next().unwrap_or_default();
                    depth += code.matches('{').count() as i32 - code.matches('}').count() as i32;
                    depth == 0
                });
                let body = &lines[at..at + length.ok_or_else(|| fault("the loop does not end"))?];
                at += body.len() + 1;
                body
            }
        };
        for value in first..bound {
            written.push_str(&format!("{{ const {counter} = {value}u;\n"));
            constants.push((counter.to_string(), value));
            write_lines(body, constants, written)?;
            constants.pop();
            written.push_str("}\n");
        }
    }
    Ok(())
}

/// Evaluates an expression of numbers, names, + − * /, parentheses and `min(a, b)`.
fn evaluate(expression: &str, constants: &[(String, u32)]) -> Result<u32, Fault> {
    let mut rest = expression.trim();
    let value = sum(&mut rest, constants);
    match value {
        Some(value) if rest.is_empty() => Ok(value),
        _ => Err(format!("`{expression}` is not made of constants")),
    }
}

fn sum(rest: &mut &str, constants: &[(String, u32)]) -> Option<u32> {
    let mut value = product(rest, constants)?;
    loop {
        if take(rest, '+') {
            value = value.checked_add(product(rest, constants)?)?;
        } else if take(rest, '-') {
            value = value.checked_sub(product(rest, constants)?)?;
        } else {
            return Some(value);
        }
    }
}

fn product(rest: &mut &str, constants: &[(String, u32)]) -> Option<u32> {
    let mut value = atom(rest, constants)?;
    loop {
        if take(rest, '*') {
            value = value.checked_mul(atom(rest, constants)?)?;
        } else if take(rest, '/') {
            value = value.checked_div(atom(rest, constants)?)?;
        } else {
            return Some(value);
        }
    }
}

fn atom(rest: &mut &str, constants: &[(String, u32)]) -> Option<u32> {
    if take(rest, '(') {
        let value = sum(rest, constants)?;
        return take(rest, ')').then_some(value);
    }
    let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    if let Some(arguments) = after.strip_prefix('(').filter(|_| word == "min") {
        *rest = arguments;
        let first = sum(rest, constants)?;
        let second = take(rest, ',').then(|| sum(rest, constants))??;
        return take(rest, ')').then_some(first.min(second));
    }
    *rest = after.trim_start();
    match word.strip_suffix('u').unwrap_or(word).parse() {
        Ok(number) => Some(number),
        Err(_) => constants.iter().rev().find(|(name, _)| name == word).map(|(_, value)| *value),
    }
}

fn take(rest: &mut &str, wanted: char) -> bool {
    let found = rest.strip_prefix(wanted);
    *rest = found.unwrap_or(rest).trim_start();
    found.is_some()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Name and element type of a line that declares a vec4 binding that the kernel reads: read-only, or marked `read back`
/// in its comment; not marked `no texels`.
fn vec4_binding(line: &str) -> Option<(&str, &str)> {
    let (declared, comment) = line.split_at(line.find("//").unwrap_or(line.len()));
    if comment.contains("no texels") {
        return None;
    }
    let (_, declared) = match comment.contains("read back") {
        true => declared.split_once("var<storage, read_write> ")?,
        false => declared.split_once("var<storage, read> ")?,
    };
    let (name, kind) = declared.split_once(": array<vec4<")?;
    let (element, _) = kind.split_once(">>;")?;
    (element != "u32" && element != "i32").then_some((name, element))
}

/// Names of the bindings that can be read as textures: arrays of four floats.
pub(in crate::gpu) fn vec4_bindings(text: &str) -> Vec<&str> {
    text.lines().filter_map(vec4_binding).map(|(name, _)| name).collect()
}

/// Suffix of the variable of a binding that is read as a texture.
pub(in crate::gpu) const TEXTURE_SUFFIX: &str = "_texels";

/// Offset of the binding number of a texture from that of the buffer that it aliases.
pub(in crate::gpu) const TEXTURES: u32 = 64;

/// Returns the source with a texture for each binding in `names`, and with every read of `x[i]` replaced by a fetch of
/// texel i.
///
/// # Errors
/// A function that uses such a name both as `x[…]` and otherwise: a local variable or parameter shadows the binding.
pub(in crate::gpu) fn with_texels(text: &str, names: &[&str]) -> Result<String, Fault> {
    let mut rewritten = String::new();
    // Names used with and without an index since the end of the last function.
    let mut uses: [Vec<&str>; 2] = Default::default();
    for line in text.lines() {
        if let Some((name, element)) = vec4_binding(line).filter(|(name, _)| names.contains(name)) {
            let number = line.split_once("@binding(").and_then(|(_, rest)| rest.split_once(')')?.0.parse::<u32>().ok());
            let number = number.ok_or_else(|| format!("`{line}` has no number"))? + TEXTURES;
            let (mask, shift) = (WIDTH - 1, WIDTH.trailing_zeros());
            rewritten.push_str(&format!(
                "{line}\n@group(0) @binding({number}) var {name}{TEXTURE_SUFFIX}: texture_2d<f32>;\n\
                 fn {name}_texel(i: u32) -> vec4<{element}> {{\n    \
                 return vec4<{element}>(textureLoad({name}{TEXTURE_SUFFIX}, vec2(i & {mask}u, i >> {shift}u), 0));\n}}\n"
            ));
            continue;
        }
        let (code, comment) = line.split_at(line.find("//").unwrap_or(line.len()));
        write_fetches(code, names, &mut uses, &mut rewritten)?;
        rewritten.push_str(comment);
        rewritten.push('\n');
        if let Some(name) = uses[0].iter().find(|name| uses[1].contains(name)) {
            return Err(format!("`{name}` is a binding, and shadowed by another `{name}` near `{}`", line.trim()));
        }
        if line.starts_with('}') {
            uses.iter_mut().for_each(Vec::clear);
        }
    }
    Ok(rewritten)
}

/// Writes a piece of code with `name_texel(…)` in place of `name[…]`, and collects the names that were indexed and
/// those that were not.
fn write_fetches<'a>(
    code: &'a str,
    names: &[&str],
    uses: &mut [Vec<&'a str>; 2],
    written: &mut String,
) -> Result<(), Fault> {
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        let length = rest[start..].find(|c| !is_word(c)).unwrap_or(rest.len() - start);
        let (before, word, after) = (&rest[..start], &rest[start..start + length], &rest[start + length..]);
        let is_member = before.ends_with('.');
        written.push_str(before);
        written.push_str(word);
        rest = after;
        if is_member || !names.contains(&word) {
            continue;
        }
        let Some(indexed) = after.strip_prefix('[') else {
            uses[1].push(word);
            continue;
        };
        uses[0].push(word);
        let mut depth = 1;
        let end = indexed.find(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            depth == 0
        });
        let end = end.ok_or_else(|| format!("`{word}[` does not end in the line `{}`", code.trim()))?;
        rest = &indexed[end + 1..];
        let after = rest.trim_start();
        let is_written = after.starts_with('=') && !after.starts_with("==");
        written.push_str(if is_written { "[" } else { "_texel(" });
        write_fetches(&indexed[..end], names, uses, written)?;
        written.push(if is_written { ']' } else { ')' });
    }
    written.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_written_out_with_constant_counters() {
        let text = "const N: u32 = 2u;\nfor (var i = 0u; i < N; i++) { // unroll\nfor (var j = i; j < min(9u, (N + 1u) * 2u / 2u); j++) { // unroll\n\
                    a[i] += b[j];\n}\n}\nend";
        let written = unrolled(text).unwrap();
        assert_eq!(written.matches("a[i] += b[j];").count(), 3 + 2);
        assert!(written.contains("{ const i = 1u;\n{ const j = 1u;\na[i] += b[j];\n}\n{ const j = 2u;"), "{written}");
        assert!(written.ends_with("end\n"));
        assert_eq!(
            unrolled("for (var i = 1u; i < 2u; i++) { a[i] = 0u; } // unroll").unwrap(),
            "{ const i = 1u;\na[i] = 0u; \n}\n"
        );
        for wrong in [
            "for (var i = 0u; i < n; i++) { // unroll\n}",
            "for (var i = 0u; j < 2u; i++) { // unroll\n}",
            "for (var i = 0u; i < 2u; i++) { // unroll\n{",
            "while (true) { // unroll\n}",
        ] {
            assert!(unrolled(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn indexed_bindings_become_fetches() {
        let text = "@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // (N)\n\
                    @group(0) @binding(2) var<storage, read> n: array<vec4<u32>>;\nlet a = x[x_0 + index[x[1].x]].y; // x is\n";
        assert_eq!(vec4_bindings(text), ["x"]);
        let rewritten = with_texels(text, &["x"]).unwrap();
        assert!(rewritten.contains("@binding(65) var x_texels: texture_2d<f32>;"), "{rewritten}");
        assert!(rewritten.contains("let a = x_texel(x_0 + index[x_texel(1).x]).y; // x is"), "{rewritten}");
        let text =
            "@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // read back\ny[i] = y[j + 1] + 1.0;";
        assert!(with_texels(text, &vec4_bindings(text)).unwrap().contains("y[i] = y_texel(j + 1) + 1.0;"));
        assert!(with_texels("fn f(x: f32) {\nx[0]\n}", &["x"]).is_err(), "a parameter hides the binding");
        let text =
            "@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // read back\ny[i] = y[j + 1] + 1.0;";
        assert!(with_texels(text, &vec4_bindings(text)).unwrap().contains("y[i] = y_texel(j + 1) + 1.0;"));
        assert!(with_texels("fn f(x: f32) {\n}\nfn g() {\nx[0] + s.x\n}", &["x"]).is_ok());
    }
}
