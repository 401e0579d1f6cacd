//! Decoding of tokens as they arrive.

use super::Tokenizer;

/// Decoder of one sequence of tokens, whose characters can be spread over several tokens of byte-pair encoding. The
/// pieces together are [`Tokenizer::decode`] of all tokens.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// Start of a character whose other bytes have not arrived.
    incomplete: Vec<u8>,
}

impl<'a> StreamDecoder<'a> {
    /// Decoder of a new sequence.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, incomplete: Vec::new() }
    }

    /// Returns the characters that `token` completes; none if the last one is still incomplete.
    pub fn push(&mut self, token: u32) -> String {
        let bytes = [std::mem::take(&mut self.incomplete), self.tokenizer.bytes(token)].concat();
        let rest = bytes.utf8_chunks().last().map_or(0, |chunk| match chunk.invalid() {
            invalid if is_start(invalid) => invalid.len(),
            _ => 0,
        });
        let (complete, rest) = bytes.split_at(bytes.len() - rest);
        self.incomplete = rest.to_vec();
        String::from_utf8_lossy(complete).into_owned()
    }

    /// Returns what is left at the end of the sequence: U+FFFD for an incomplete character.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.incomplete).into_owned()
    }
}

/// Whether `bytes` are the first bytes of a character that more bytes could complete.
fn is_start(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(tokenizer: &Tokenizer, tokens: &[u32]) -> (Vec<String>, String) {
        let mut decoder = StreamDecoder::new(tokenizer);
        let pieces = tokens.iter().map(|token| decoder.push(*token)).collect();
        (pieces, decoder.finish())
    }

    #[test]
    fn characters_appear_when_they_are_complete() {
        let tokenizer = Tokenizer::bpe().unwrap();
        let tokens = tokenizer.encode("日本").unwrap();
        let (pieces, rest) = streamed(&tokenizer, &tokens);
        assert!(pieces.len() > 2 && pieces.iter().any(String::is_empty), "{pieces:?}");
        assert_eq!((pieces.concat().as_str(), rest.as_str()), ("日本", ""));
        let (pieces, rest) = streamed(&tokenizer, &tokens[..tokens.len() - 1]);
        assert_eq!((pieces.concat() + &rest).chars().last(), Some(char::REPLACEMENT_CHARACTER));
    }

    #[test]
    fn pieces_are_the_decoded_text_for_any_tokens() {
        let tokenizer = Tokenizer::bpe().unwrap();
        let tokens = crate::kernels::RandomInputs::new(7).integers(20_000, 50_300);
        // The first 256 tokens are single bytes.
        let bytes = crate::kernels::RandomInputs::new(8).integers(20_000, 256);
        for tokens in [tokens, bytes] {
            let (pieces, rest) = streamed(&tokenizer, &tokens);
            assert_eq!(pieces.concat() + &rest, tokenizer.decode(&tokens));
            assert!(tokenizer.decode(&tokens).contains(char::REPLACEMENT_CHARACTER));
        }
    }
}
