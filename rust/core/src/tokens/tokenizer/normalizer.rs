//! `SentencePiece`'s normalizer (`normalizer.cc`): the model's character map, user-defined symbols and whitespace.

use super::proto::{ModelProto, PieceType};
use super::trie::Trie;

/// U+2581, which represents a space in pieces.
pub const SPACE_SYMBOL: &[u8] = "▁".as_bytes();

/// The normalizer of one model.
#[derive(Debug)]
pub struct Normalizer {
    rules: Option<Trie>,
    /// NUL-terminated replacements. The rules' values are positions in it.
    replacements: Vec<u8>,
    user_defined: Option<Trie>,
    /// Whether a rule or a user-defined symbol contains a space.
    a_key_holds_space: bool,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    whitespace_as_suffix: bool,
    /// Whether a byte below 128 is unchanged as long as only such bytes follow.
    ascii_identity: [bool; 128],
}

impl Normalizer {
    /// Creates the normalizer of a model. An error says what is broken.
    pub fn new(model: &ModelProto) -> Result<Self, String> {
        let spec = model.normalizer_spec.clone().unwrap_or_default();
        let charsmap = spec.precompiled_charsmap.unwrap_or_default();
        let (rules, replacements) = if charsmap.is_empty() {
            (None, Vec::new())
        } else {
            let (trie, replacements) = charsmap
                .split_first_chunk::<4>()
                .and_then(|(size, rest)| rest.split_at_checked(u32::from_le_bytes(*size) as usize))
                .ok_or("its precompiled character map is truncated")?;
            (Some(Trie::from_bytes(trie)?), replacements.to_vec())
        };
        let symbols: Vec<(&[u8], u32, f32)> = model
            .pieces
            .iter()
            .filter(|piece| piece.r#type() == PieceType::UserDefined)
            .map(|piece| (piece.piece().as_bytes(), 0, 0.0))
            .collect();
        let user_defined_holds_space = symbols.iter().any(|(symbol, ..)| symbol.contains(&b' '));
        let user_defined = if symbols.is_empty() { None } else { Some(Trie::build(&symbols)?) };
        let mut ascii_identity = [true; 128];
        ascii_identity[usize::from(b' ')] = false;
        let mut rule_holds_space = false;
        if let Some(rules) = &rules {
            rules.for_each_key(&mut |key| {
                rule_holds_space |= key.contains(&b' ');
                if key.is_ascii() {
                    ascii_identity[usize::from(key[0])] = false;
                }
            });
        }
        let trainer = model.trainer_spec.clone().unwrap_or_default();
        Ok(Self {
            rules,
            replacements,
            user_defined,
            a_key_holds_space: rule_holds_space || user_defined_holds_space,
            add_dummy_prefix: spec.add_dummy_prefix.unwrap_or(true),
            remove_extra_whitespaces: spec.remove_extra_whitespaces.unwrap_or(true),
            escape_whitespaces: spec.escape_whitespaces.unwrap_or(true),
            whitespace_as_suffix: trainer.treat_whitespace_as_suffix.unwrap_or(false),
            ascii_identity,
        })
    }

    /// Whether a space is added before the text, or after it if spaces end words.
    pub fn adds_prefix(&self) -> bool {
        self.add_dummy_prefix
    }

    /// Whether `▁` ends words instead of beginning them.
    pub fn whitespace_as_suffix(&self) -> bool {
        self.whitespace_as_suffix
    }

    /// Whether the normal form of a text consists of those of its words (split at U+0020). If so, words can be looked
    /// up before they are normalized.
    pub fn is_word_local(&self) -> bool {
        self.add_dummy_prefix
            && self.remove_extra_whitespaces
            && self.escape_whitespaces
            && !self.whitespace_as_suffix
            && !self.a_key_holds_space
    }

    /// Whether `byte` is ASCII and unchanged as long as only such bytes follow.
    pub fn keeps_ascii(&self, byte: u8) -> bool {
        byte < 128 && self.ascii_identity[usize::from(byte)]
    }

    /// Returns the normal form of the first character, user-defined symbol or rule of `text`, and its length in `text`.
    fn prefix<'a>(&'a self, text: &'a [u8]) -> (&'a [u8], usize) {
        if let Some((length, _)) = self.user_defined.as_ref().and_then(|symbols| symbols.longest_prefix(text)) {
            return (&text[..length], length);
        }
        if let Some((length, at)) = self.rules.as_ref().and_then(|rules| rules.longest_prefix(text)) {
            let replacement = self.replacements.get(at as usize..).unwrap_or_default();
            let end = memchr::memchr(0, replacement).unwrap_or(replacement.len());
            return (&replacement[..end], length);
        }
        let length = char_length(text[0]).min(text.len());
        (&text[..length], length)
    }

    /// Writes the normal form of `text` to `out` (cleared first). Returns whether it contains a literal `▁`, which is
    /// not a boundary between two words of `text`.
    pub fn normalize(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        if !text.is_empty()
            && self.add_dummy_prefix
            && !self.whitespace_as_suffix
            && self.escape_whitespaces
            && text.iter().all(|&byte| self.keeps_ascii(byte))
        {
            out.extend_from_slice(SPACE_SYMBOL);
            out.extend_from_slice(text);
            return false;
        }
        self.normalize_any(text, out)
    }

    fn normalize_any(&self, mut text: &[u8], out: &mut Vec<u8>) -> bool {
        if self.remove_extra_whitespaces {
            while !text.is_empty() {
                let (normal, length) = self.prefix(text);
                if normal != b" " {
                    break;
                }
                text = &text[length..];
            }
        }
        if text.is_empty() {
            return false;
        }
        let space = if self.escape_whitespaces { SPACE_SYMBOL } else { b" " };
        if self.add_dummy_prefix && !self.whitespace_as_suffix {
            out.extend_from_slice(space);
        }
        let mut literal = false;
        let mut after_space = self.remove_extra_whitespaces;
        while !text.is_empty() {
            let (mut normal, length) = self.prefix(text);
            while after_space && normal.first() == Some(&b' ') {
                normal = &normal[1..];
            }
            if let Some(&last) = normal.last() {
                literal |= normal.windows(SPACE_SYMBOL.len()).any(|window| window == SPACE_SYMBOL);
                for &byte in normal {
                    if byte == b' ' {
                        out.extend_from_slice(space);
                    } else {
                        out.push(byte);
                    }
                }
                after_space = last == b' ';
            }
            text = &text[length..];
            after_space &= self.remove_extra_whitespaces;
        }
        if self.remove_extra_whitespaces {
            while out.ends_with(space) {
                out.truncate(out.len() - space.len());
            }
        }
        if self.add_dummy_prefix && self.whitespace_as_suffix {
            out.extend_from_slice(space);
        }
        literal
    }
}

/// Returns the length of a UTF-8 character given its first byte, or 1 for a byte that begins none
/// (`string_util::OneCharLen`).
#[inline]
pub const fn char_length(first: u8) -> usize {
    const LENGTHS: [u8; 16] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4];
    LENGTHS[(first >> 4) as usize] as usize
}
