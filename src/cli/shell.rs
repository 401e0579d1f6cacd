//! Words of commands that are printed for a POSIX shell.

use std::path::Path;

/// Quotes a word.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Quotes a path, such that it is read neither as a flag nor as KEY=VALUE.
pub fn quoted_path(path: &Path) -> String {
    let text = path.display().to_string();
    let first = text.split('/').next().unwrap_or_default();
    match first.starts_with('-') || first.contains('=') {
        true => quoted(&format!("./{text}")),
        false => quoted(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("L=16"), "L=16");
        assert_eq!(quoted("dir=my runs"), "'dir=my runs'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn paths_are_no_flags_and_no_settings() {
        for (path, shown) in [
            ("out/1", "out/1"),
            ("my runs/1", "'my runs/1'"),
            ("-x", "./-x"),
            ("a=b", "./a=b"),
            ("out/a=b", "out/a=b"),
            ("a=b c", "'./a=b c'"),
        ] {
            assert_eq!(quoted_path(Path::new(path)), shown);
        }
    }
}
