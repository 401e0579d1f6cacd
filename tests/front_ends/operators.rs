//! Operators that the WGSL specification forbids to mix without parentheses.

use ketformer::kernels::ALL;

/// Binary operators of an expression without parentheses, and what separates such expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Token<'a> {
    Operator(&'a str),
    Open,
    Close,
    End,
    Operand,
}

/// Tokens of a source without comments and template lists.
fn tokens(text: &str) -> Vec<Token<'_>> {
    const TEMPLATES: [&str; 9] = ["array", "vec2", "vec3", "vec4", "ptr", "atomic", "var", "bitcast", "texture_2d"];
    let mut tokens = Vec::new();
    for line in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
        let mut rest = line.trim();
        while !rest.is_empty() {
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
            if word > 0 {
                let (name, after) = rest.split_at(word);
                rest = after;
                let is_statement = ["let", "return", "if", "for", "while", "else", "const"].contains(&name);
                tokens.push(if is_statement { Token::End } else { Token::Operand });
                if TEMPLATES.contains(&name) && rest.starts_with('<') {
                    let mut depth = 0;
                    let end = rest.find(|c| {
                        depth += i32::from(c == '<') - i32::from(c == '>');
                        depth == 0
                    });
                    rest = &rest[end.unwrap_or(rest.len() - 1) + 1..];
                }
                continue;
            }
            let operators = [
                "<<=", ">>=", "->", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "++", "--", "&&", "||", "==", "!=",
            ];
            let long =
                operators.into_iter().chain(["<=", ">=", "<<", ">>"]).find(|operator| rest.starts_with(operator));
            let length = long.map_or_else(|| rest.chars().next().map_or(1, char::len_utf8), str::len);
            let (operator, after) = rest.split_at(length);
            rest = after;
            tokens.push(match operator {
                "(" | "[" => Token::Open,
                ")" | "]" => Token::Close,
                "{" | "}" | ";" | "," | "=" | ":" | "->" | "@" => Token::End,
                _ if operator.ends_with('=') && !["==", "!=", "<=", ">="].contains(&operator) => Token::End,
                _ if operator.trim().is_empty() || ["++", "--", "!", "~", "."].contains(&operator) => continue,
                // A sign or an address.
                "-" | "&" | "*" if !matches!(tokens.last(), Some(Token::Operand | Token::Close)) => continue,
                _ => Token::Operator(operator),
            });
        }
    }
    tokens
}

/// Whether the specification allows these operators in one expression without parentheses (WGSL, section 8.19,
/// "Operator Precedence and Associativity").
fn are_allowed(operators: &[&str]) -> bool {
    let has = |set: &[&str]| operators.iter().any(|operator| set.contains(operator));
    let count = |set: &[&str]| operators.iter().filter(|operator| set.contains(operator)).count();
    let arithmetic = has(&["+", "-", "*", "/", "%"]);
    let bitwise = ["&", "|", "^"].into_iter().filter(|operator| has(&[operator])).count();
    let logical = ["&&", "||"].into_iter().filter(|operator| has(&[operator])).count();
    let relational = has(&["==", "!=", "<", ">", "<=", ">="]);
    let shifts = count(&["<<", ">>"]);
    let split = |separators: &[&str]| operators.split(|operator| separators.contains(operator)).all(are_allowed);
    if logical > 0 {
        return logical == 1 && split(&["&&", "||"]);
    }
    if relational {
        return bitwise == 0 && split(&["==", "!=", "<", ">", "<=", ">="]);
    }
    bitwise <= 1 && (bitwise == 0 || !arithmetic && shifts == 0) && (shifts == 0 || shifts == 1 && !arithmetic)
}

/// Groups of operators in `text` that need parentheses.
fn mixed(text: &str) -> Vec<Vec<&str>> {
    let (mut stack, mut found) = (vec![Vec::new()], Vec::new());
    for token in tokens(text) {
        match token {
            Token::Operator(operator) => stack.last_mut().unwrap().push(operator),
            Token::Open => stack.push(Vec::new()),
            Token::Close => found.extend(stack.pop()),
            Token::End => found.push(std::mem::take(stack.last_mut().unwrap())),
            Token::Operand => {}
        }
        if stack.is_empty() {
            stack.push(Vec::new());
        }
    }
    found.retain(|group| !are_allowed(group));
    found
}

#[test]
fn operators_that_need_parentheses_are_found() {
    for text in
        ["a >> b & 1u", "a + b << c", "a & b | c", "f(x, a / b & c)", "a && b || c", "a << b + c", "a[i >> j & k]"]
    {
        assert_eq!(mixed(&format!("let x = {text};")).len(), 1, "{text}");
    }
    for text in [
        "(a >> b) & 1u",
        "a & b & c",
        "a << 2u < b",
        "a + b * c == d && e < f",
        "array<vec2<u32>, 4>(a, b)",
        "vec4<f32>(1.0) * -x",
        "f(&y, a | b)",
        "(a & b) | (c << d)",
    ] {
        assert_eq!(mixed(&format!("let x = {text};")), Vec::<Vec<&str>>::new(), "{text}");
    }
}

#[test]
fn no_kernel_mixes_operators_that_need_parentheses() {
    for entry in ALL {
        for (name, shader) in super::shaders(&entry.kernel(), |spec| entry.kernel().shader(spec)) {
            let text = shader.browser_text();
            let found = mixed(&text);
            assert!(found.is_empty(), "{name}: {found:?} in one expression, which WGSL forbids");
        }
    }
}
