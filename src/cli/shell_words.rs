//! Words of a command line that was printed for a POSIX shell.

/// Words of a line of words from [`quoted`](super::shell::quoted); `None` if a quote is open at its end.
pub fn unquoted(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shell::quoted;

    #[test]
    fn quoted_words_are_split_again() {
        let words = ["train", "dir=my runs", "it's", "", "a\\b", "'", "dir=<NONE>"];
        let line = words.map(quoted).join(" ");
        assert_eq!(unquoted(&line).unwrap(), words);
        assert_eq!(unquoted("train 'dir=my runs"), None);
    }
}
