//! Text of a file as tokens for training and tokens that are held out.

use std::path::Path;

use super::Tokenizer;
use crate::error::{Error, ErrorKind, Result};

/// Reads a file of text.
///
/// # Errors
/// [`ErrorKind::File`] if it is not a file, cannot be read, is empty, or is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let error = |what: &str| Error::new(ErrorKind::File, format!("text {} {what}", path.display()));
    if path.is_dir() {
        return Err(error("is a folder; give the path of a file"));
    }
    let bytes = std::fs::read(path).map_err(|e| error("cannot be read; give the path of a UTF-8 file").caused_by(e))?;
    if bytes.is_empty() {
        return Err(error("is empty; give a file with text"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let byte = e.utf8_error().valid_up_to();
        error(&format!("is not UTF-8 from byte {byte} on; convert it, for example with iconv"))
    })
}

/// Tokens of a text: the first part for training, the rest held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    training: Vec<u32>,
    held_out: Vec<u32>,
}

impl Corpus {
    /// Splits a text and encodes both parts. The first 1 − `validation_fraction` of the characters are for training, as
    /// in nanoGPT.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the fraction is not in [0, 1), or as [`Tokenizer::encode`].
    pub fn new(text: &str, tokenizer: &Tokenizer, validation_fraction: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&validation_fraction) {
            let message = format!(
                "validation_fraction is {validation_fraction}, expected at least 0 and less than 1; correct it"
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let characters = text.chars().count();
        let training = (characters as f64 * (1.0 - validation_fraction)) as usize;
        let end = text.char_indices().nth(training).map_or(text.len(), |(byte, _)| byte);
        let (first, second) = text.split_at(end);
        Ok(Self { training: tokenizer.encode(first)?, held_out: tokenizer.encode_part(second, training)? })
    }

    /// A text that is held out as a whole, for evaluation.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn held_out(text: &str, tokenizer: &Tokenizer) -> Result<Self> {
        Ok(Self { training: Vec::new(), held_out: tokenizer.encode(text)? })
    }

    /// Tokens for training.
    pub fn training_tokens(&self) -> &[u32] {
        &self.training
    }

    /// Held-out tokens.
    pub fn held_out_tokens(&self) -> &[u32] {
        &self.held_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_split_as_in_nanogpt() {
        let text = "aé".repeat(50);
        let corpus = Corpus::new(&text, &Tokenizer::characters(&text).unwrap(), 0.1).unwrap();
        assert_eq!((corpus.training.len(), corpus.held_out.len()), (90, 10));
        assert_eq!(corpus.training[88..], [0, 1]);
        // 1,115,394 characters as those of tiny-shakespeare.
        let text = "x".repeat(1_115_394);
        let corpus = Corpus::new(&text, &Tokenizer::characters(&text).unwrap(), 0.1).unwrap();
        assert_eq!((corpus.training.len(), corpus.held_out.len()), (1_003_854, 111_540));
        let tokenizer = Tokenizer::bpe().unwrap();
        let corpus = Corpus::new("hello worldhello", &tokenizer, 5.0 / 16.0).unwrap();
        assert_eq!((corpus.training, corpus.held_out), (vec![31373, 995], vec![31373]));
        let all = Corpus::new("abc", &Tokenizer::letters(3).unwrap(), 0.0);
        assert!(all.unwrap_err().to_string().contains("'a' at position 1"));
        let all = Corpus::new("ABC", &Tokenizer::letters(3).unwrap(), 0.0).unwrap();
        assert_eq!((all.training, all.held_out), (vec![0, 1, 2], vec![]));
        let none = Corpus::held_out("ABC", &Tokenizer::letters(3).unwrap()).unwrap();
        assert_eq!((none.training, none.held_out), (vec![], vec![0, 1, 2]));
    }

    #[test]
    fn unknown_characters_are_named_with_their_position_in_the_whole_text() {
        let tokenizer = Tokenizer::letters(3).unwrap();
        let error = Corpus::new(&("A".repeat(98) + "xB"), &tokenizer, 0.1).unwrap_err();
        assert!(error.to_string().contains("'x' at position 99 of the text"), "{error}");
    }

    #[test]
    fn fractions_out_of_range_are_errors() {
        for fraction in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            let error = Corpus::new("AB", &Tokenizer::letters(2).unwrap(), fraction).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            assert!(error.to_string().contains(&format!("validation_fraction is {fraction}")), "{error}");
        }
    }

    #[test]
    fn files_that_are_no_text_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input.txt");
        let failure = |path: &Path| {
            let error = read_text(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::File);
            error.to_string()
        };
        assert!(failure(&path).contains("input.txt cannot be read; give the path of a UTF-8 file ("));
        assert!(failure(folder.path()).contains("is a folder"));
        std::fs::write(&path, "").unwrap();
        assert!(failure(&path).contains("input.txt is empty"));
        for (bytes, first) in
            [(b"caf\xe9 au lait".as_slice(), 3), (b"\xff\xfea\0", 0), ("Ψ日".as_bytes()[..4].as_ref(), 2)]
        {
            std::fs::write(&path, bytes).unwrap();
            assert!(failure(&path).contains(&format!("input.txt is not UTF-8 from byte {first} on")));
        }
        std::fs::write(&path, "Ψ\r\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), "Ψ\r\n");
    }
}
