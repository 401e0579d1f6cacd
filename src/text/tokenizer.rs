//! Tokenizers: text to tokens of a vocabulary and back.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tiktoken_rs::CoreBPE;

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};

/// Number of tokens of GPT-2's vocabulary.
const GPT2_TOKENS: usize = 50_257;

/// Number of letters of the alphabet.
const LETTERS: usize = 26;

/// Longest vocabulary that an error message lists.
const LISTED: usize = 100;

/// Tokenizer of a GPT.
#[derive(Clone)]
pub struct Tokenizer(Kind);

#[derive(Clone)]
enum Kind {
    /// Characters by token, and the tokens by character.
    Characters {
        characters: Vec<char>,
        tokens: HashMap<char, u32>,
    },
    Bpe(Arc<CoreBPE>),
    Letters {
        letters: usize,
    },
}

/// Contents of a file of a tokenizer.
#[derive(Serialize, Deserialize)]
#[serde(tag = "tokenizer", rename_all = "lowercase", deny_unknown_fields)]
enum File {
    /// Characters in the order of their tokens.
    Characters {
        characters: String,
    },
    Bpe {},
    Letters {
        letters: usize,
    },
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.0 {
            Kind::Characters { .. } => "characters",
            Kind::Bpe(_) => "bpe",
            Kind::Letters { .. } => "letters",
        };
        f.debug_struct("Tokenizer").field("kind", &name).field("vocabulary", &self.vocabulary()).finish()
    }
}

impl PartialEq for Tokenizer {
    /// Whether both give the same tokens.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Characters { characters: a, .. }, Kind::Characters { characters: b, .. }) => a == b,
            (Kind::Bpe(_), Kind::Bpe(_)) => true,
            (Kind::Letters { letters: a }, Kind::Letters { letters: b }) => a == b,
            _ => false,
        }
    }
}

impl Tokenizer {
    /// Characters (Unicode scalar values) of `text`, each a token, sorted by code point as in nanoGPT.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the text is empty.
    pub fn characters(text: &str) -> Result<Self> {
        match text.is_empty() {
            true => Err(Error::new(ErrorKind::Settings, "the text has no characters; give one that is not empty")),
            false => Ok(Self::of_characters(text.chars().collect::<BTreeSet<_>>().into_iter().collect())),
        }
    }

    fn of_characters(characters: Vec<char>) -> Self {
        let tokens = characters.iter().zip(0..).map(|(character, token)| (*character, token)).collect();
        Self(Kind::Characters { characters, tokens })
    }

    /// Byte-pair encoding with the vocabulary of GPT-2 (r50k_base), 50,257 tokens. Any text can be encoded. The last
    /// token is `<|endoftext|>`; this string in a text is encoded like any other, as in nanoGPT.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the embedded vocabulary cannot be read.
    pub fn bpe() -> Result<Self> {
        match tiktoken_rs::r50k_base() {
            Ok(encoding) => Ok(Self(Kind::Bpe(Arc::new(encoding)))),
            Err(cause) => {
                let message = "the vocabulary of GPT-2 cannot be read; rebuild the program";
                Err(Error::new(ErrorKind::Settings, message).caused_by(cause.to_string()))
            }
        }
    }

    /// The first `letters` letters of the alphabet, A, B, C, …, for sorting.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there are less than 1 or more than 26.
    pub fn letters(letters: usize) -> Result<Self> {
        match (1..=LETTERS).contains(&letters) {
            true => Ok(Self(Kind::Letters { letters })),
            false => {
                let message = format!("letters is {letters}, expected 1 to {LETTERS}; correct it");
                Err(Error::new(ErrorKind::Settings, message))
            }
        }
    }

    /// Number of tokens V.
    pub fn vocabulary(&self) -> usize {
        match &self.0 {
            Kind::Characters { characters, .. } => characters.len(),
            Kind::Bpe(_) => GPT2_TOKENS,
            Kind::Letters { letters } => *letters,
        }
    }

    /// Encodes a text.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if a character is not in the vocabulary, or the text contains a run of so much white space
    /// that it cannot be split into words.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_part(text, 0)
    }

    /// Encodes a part of a text that begins after `before` characters, from which messages count.
    pub(super) fn encode_part(&self, text: &str, before: usize) -> Result<Vec<u32>> {
        if let Kind::Bpe(encoding) = &self.0 {
            return encoding.encode(text, &HashSet::new()).map(|(tokens, _)| tokens).map_err(|cause| {
                let message = "the text cannot be split into words; shorten its runs of white space";
                Error::new(ErrorKind::Settings, message).caused_by(cause)
            });
        }
        let token = |(character, position)| self.token(character).ok_or_else(|| self.unknown(character, position));
        text.chars().zip(before + 1..).map(token).collect()
    }

    /// Token of a character.
    fn token(&self, character: char) -> Option<u32> {
        match &self.0 {
            Kind::Characters { tokens, .. } => tokens.get(&character).copied(),
            Kind::Letters { letters } => {
                let token = u32::from(character).checked_sub(u32::from('A'))?;
                ((token as usize) < *letters).then_some(token)
            }
            Kind::Bpe(_) => None,
        }
    }

    fn unknown(&self, character: char, position: usize) -> Error {
        let listed = match &self.0 {
            Kind::Characters { characters, .. } if characters.len() <= LISTED => {
                format!(": {}", characters.iter().collect::<String>().escape_debug())
            }
            Kind::Letters { letters } => format!(": {}", self.decode(&(0..*letters as u32).collect::<Vec<_>>())),
            _ => String::new(),
        };
        let message = format!(
            "character {character:?} at position {position} of the text is not in the vocabulary; use only its {} characters{listed}",
            self.vocabulary()
        );
        Error::new(ErrorKind::Settings, message)
    }

    /// Bytes of one token in UTF-8; of byte-pair encoding possibly a part of a character. A token beyond the vocabulary,
    /// which a model with padded vocabulary can sample, gives U+FFFD.
    pub(super) fn bytes(&self, token: u32) -> Vec<u8> {
        let character = match &self.0 {
            Kind::Characters { characters, .. } => characters.get(token as usize).copied(),
            Kind::Letters { letters } => {
                ((token as usize) < *letters).then(|| char::from_u32(u32::from('A') + token)).flatten()
            }
            Kind::Bpe(encoding) => match encoding.decode_bytes(&[token]) {
                Ok(bytes) => return bytes,
                Err(_) => None,
            },
        };
        character.unwrap_or(char::REPLACEMENT_CHARACTER).to_string().into_bytes()
    }

    /// Decodes tokens. Bytes that are not UTF-8 and tokens beyond the vocabulary give U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.bytes(*token)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads a file that [`Tokenizer::save`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be read, [`ErrorKind::Settings`] if it is truncated or not a tokenizer.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| {
            let message = format!("tokenizer {shown} cannot be read; give the path of the run's file");
            Error::new(ErrorKind::File, message).caused_by(e)
        })?;
        let damaged = |what: String| {
            Error::new(ErrorKind::Settings, format!("tokenizer {shown} is damaged: {what}; restore the file"))
        };
        match serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))? {
            File::Bpe {} => Self::bpe(),
            File::Letters { letters } => Self::letters(letters).map_err(|_| damaged(format!("`letters` is {letters}"))),
            File::Characters { characters } => {
                let list: Vec<char> = characters.chars().collect();
                let mut seen = HashSet::new();
                match list.iter().find(|character| !seen.insert(**character)) {
                    Some(twice) => Err(damaged(format!("it contains {twice:?} twice"))),
                    None if list.is_empty() => Err(damaged("it has no characters".into())),
                    None => Ok(Self::of_characters(list)),
                }
            }
        }
    }

    /// Writes a JSON file: `{"tokenizer": "characters", "characters": "…"}` in the order of the tokens, `{"tokenizer":
    /// "bpe"}` or `{"tokenizer": "letters", "letters": 3}`.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let file = match &self.0 {
            Kind::Characters { characters, .. } => File::Characters { characters: characters.iter().collect() },
            Kind::Bpe(_) => File::Bpe {},
            Kind::Letters { letters } => File::Letters { letters: *letters },
        };
        let text = serde_json::to_string(&file).map_err(|e| {
            Error::new(ErrorKind::File, "the tokenizer cannot be written as JSON; report this").caused_by(e)
        })?;
        atomic_write::write(path.as_ref(), format!("{text}\n").as_bytes(), ["tokenizer", "choose another folder"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(tokenizer: &Tokenizer, text: &str) {
        let tokens = tokenizer.encode(text).unwrap();
        assert!(tokens.iter().all(|token| (*token as usize) < tokenizer.vocabulary()));
        assert_eq!(tokenizer.decode(&tokens), text);
    }

    const TEXTS: [&str; 6] = [
        "First Citizen:\nBefore we proceed any further, hear me speak.\n\n",
        "  two  spaces\t\ttabs \r\n and 12345 numbers, it's we've I'LL",
        "Ψ = √P, σᶻ, naïve, Straße, İstanbul, ﷽, e\u{301}, \u{feff}",
        "日本語のテキスト、한국어, العربية, עברית, हिन्दी, ไทย",
        "👩‍👩‍👧‍👦🏳️‍🌈 \u{1f600}\u{10ffff}\u{0}\u{7f}\u{85}\u{2028}",
        "<|endoftext|>",
    ];

    #[test]
    fn characters_are_sorted_by_code_point() {
        let tokenizer = Tokenizer::characters("cab Ψ\nbA").unwrap();
        assert_eq!(tokenizer.vocabulary(), 7);
        assert_eq!(tokenizer.encode("\n AabcΨ").unwrap(), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(tokenizer.decode(&[6, 3, 7]), "Ψa\u{fffd}");
        for text in TEXTS {
            round_trip(&Tokenizer::characters(text).unwrap(), text);
        }
        assert_eq!(Tokenizer::characters("").unwrap_err().kind(), ErrorKind::Settings);
    }

    /// Tokens of `tiktoken.get_encoding("gpt2").encode_ordinary`, tiktoken 0.14.
    #[test]
    fn byte_pairs_are_those_of_gpt2() {
        let tokenizer = Tokenizer::bpe().unwrap();
        assert_eq!(tokenizer.vocabulary(), 50_257);
        for (text, tokens) in [
            ("hello world", vec![31373, 995]),
            ("", vec![]),
            ("Hello, my dog is cute", vec![15496, 11, 616, 3290, 318, 13779]),
            (
                "First Citizen:\nBefore we proceed any further, hear me speak.\n",
                vec![5962, 22307, 25, 198, 8421, 356, 5120, 597, 2252, 11, 3285, 502, 2740, 13, 198],
            ),
            ("  two  spaces\t\n\n x", vec![220, 734, 220, 9029, 197, 628, 2124]),
            ("it's we've I'LL 12345", vec![270, 338, 356, 1053, 314, 6, 3069, 17031, 2231]),
            ("naïve Ψ 日本 👍", vec![2616, 38776, 7377, 101, 10545, 245, 98, 17312, 105, 50169, 235]),
            ("<|endoftext|>", vec![27, 91, 437, 1659, 5239, 91, 29]),
        ] {
            assert_eq!(tokenizer.encode(text).unwrap(), tokens, "{text}");
        }
        for text in TEXTS {
            round_trip(&tokenizer, text);
        }
        assert_eq!(tokenizer.decode(&[50_256]), "<|endoftext|>");
        assert_eq!(tokenizer.decode(&[50_257, 31373, u32::MAX]), "\u{fffd}hello\u{fffd}");
        // Every token is a part of some text.
        assert!((0..50_257).all(|token| !tokenizer.bytes(token).is_empty()));
    }

    #[test]
    fn long_runs_of_white_space_are_encoded_or_an_error() {
        let tokenizer = Tokenizer::bpe().unwrap();
        for text in [" ".repeat(30_000), format!("{}a", "\n".repeat(30_000)), "a".repeat(30_000)] {
            match tokenizer.encode(&text) {
                Ok(tokens) => assert_eq!(tokenizer.decode(&tokens), text),
                Err(error) => assert!(error.to_string().contains("shorten its runs of white space"), "{error}"),
            }
        }
    }

    #[test]
    fn letters_are_the_alphabet() {
        let tokenizer = Tokenizer::letters(3).unwrap();
        assert_eq!((tokenizer.encode("CABBA").unwrap(), tokenizer.vocabulary()), (vec![2, 0, 1, 1, 0], 3));
        assert_eq!(tokenizer.decode(&[2, 0, 3]), "CA\u{fffd}");
        round_trip(&Tokenizer::letters(26).unwrap(), "ZAMBEZI");
        for letters in [0, 27] {
            let error = Tokenizer::letters(letters).unwrap_err().to_string();
            assert_eq!(error, format!("letters is {letters}, expected 1 to 26; correct it"));
        }
    }

    #[test]
    fn unknown_characters_are_named_with_their_position() {
        let failure = |tokenizer: Tokenizer, text: &str| {
            let error = tokenizer.encode(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            error.to_string()
        };
        assert_eq!(
            failure(Tokenizer::characters("ROMEO:\n").unwrap(), "OEé?"),
            "character 'é' at position 3 of the text is not in the vocabulary; use only its 6 characters: \\n:EMOR"
        );
        assert_eq!(
            failure(Tokenizer::letters(3).unwrap(), "ABDa"),
            "character 'D' at position 3 of the text is not in the vocabulary; use only its 3 characters: ABC"
        );
        let many: String = ('一'..).take(LISTED + 1).collect();
        assert_eq!(
            failure(Tokenizer::characters(&many).unwrap(), "\n"),
            "character '\\n' at position 1 of the text is not in the vocabulary; use only its 101 characters"
        );
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        for (tokenizer, text) in [
            (Tokenizer::characters("\"quotes\" \\ \n\u{0}Ψ👍").unwrap(), None),
            (Tokenizer::bpe().unwrap(), Some("{\"tokenizer\":\"bpe\"}\n")),
            (Tokenizer::letters(3).unwrap(), Some("{\"tokenizer\":\"letters\",\"letters\":3}\n")),
            (Tokenizer::characters("ba").unwrap(), Some("{\"tokenizer\":\"characters\",\"characters\":\"ab\"}\n")),
        ] {
            tokenizer.save(&path).unwrap();
            assert_eq!(Tokenizer::load(&path).unwrap(), tokenizer);
            assert!(text.is_none_or(|text| std::fs::read_to_string(&path).unwrap() == text));
        }
        assert_eq!(Tokenizer::letters(2).unwrap().save(folder.path()).unwrap_err().kind(), ErrorKind::File);
    }

    #[test]
    fn damaged_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        assert_eq!(Tokenizer::load(&path).unwrap_err().kind(), ErrorKind::File);
        for (text, expected) in [
            ("", "EOF"),
            ("{\"tokenizer\":\"characters\",\"chara", "EOF"),
            ("{\"tokenizer\":\"words\"}", "unknown variant `words`"),
            ("{\"tokenizer\":\"bpe\",\"letters\":3}", "unknown field `letters`"),
            ("{\"tokenizer\":\"letters\",\"letters\":99}", "`letters` is 99"),
            ("{\"tokenizer\":\"characters\",\"characters\":\"\"}", "it has no characters"),
            ("{\"tokenizer\":\"characters\",\"characters\":\"aba\"}", "it contains 'a' twice"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Tokenizer::load(&path).unwrap_err();
            let shown = error.to_string();
            assert_eq!(error.kind(), ErrorKind::Settings);
            assert!(shown.contains("tokenizer.json is damaged: ") && shown.contains(expected), "{shown}");
        }
    }
}
