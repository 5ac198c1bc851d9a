//! Adds pieces to a model: those that a new text gains most from, after all pieces that the model has.
//!
//! Ids, scores and rules of the model stay. So weights that were trained with it keep their meaning, and a text without
//! the new pieces is split as before. The new pieces are chosen under a model in which the old scores are fixed
//! ([`choice`]), since the scores of the file decide how text is split later.

mod choice;
mod file;

use std::collections::HashSet;

use prost::Message;

use super::alphabet::Alphabet;
use super::lines::{Counted, Lines};
use super::meta::MetaPieces;
use super::rule::PieceRule;
use super::seeds;
use super::watch::{Stage, watched};
use super::{Normalization, Options};
use crate::error::counted;
use crate::tokens::tokenizer::normalizer::char_length;
use crate::tokens::tokenizer::proto::{ModelProto, PieceType};
use crate::tokens::tokenizer::{Tokenizer, before_digit_comma};
use crate::{Error, Progress, Result};

/// The model to extend.
#[derive(Debug)]
pub(super) struct Old {
    /// The path of the file, for messages.
    name: String,
    file: Vec<u8>,
    model: ModelProto,
    unknown: u32,
}

impl Old {
    /// Takes the model of a tokenizer. Returns with it the options that its extension is trained with: the rules are the
    /// model's, the rest is from `options`.
    ///
    /// # Errors
    /// It is no unigram model; `vocab_size` is not above its size; or an option contradicts its rules.
    pub fn new(tokenizer: &Tokenizer, options: &Options) -> Result<(Self, Options)> {
        let path = tokenizer.path();
        if tokenizer.kind() != "unigram" {
            return Err(Error::tokenizer(
                path,
                "a WordPiece vocabulary cannot be extended; pass a SentencePiece model",
            ));
        }
        let file = tokenizer.file_bytes().to_vec();
        let model = ModelProto::decode(&file[..]).map_err(|error| Error::tokenizer(path, error.to_string()))?;
        let size = model.pieces.len();
        if options.vocab_size as usize <= size {
            let rule = format!("above {size}, the number of pieces of {}", path.display());
            return Err(Error::rule("vocab_size", rule, options.vocab_size));
        }
        if model.normalizer_spec.as_ref().and_then(|spec| spec.escape_whitespaces) == Some(false) {
            let reason = "its spaces are not escaped (escape_whitespaces=false), and such a model cannot be extended";
            return Err(Error::tokenizer(path, reason));
        }
        let name = path.display().to_string();
        let options = Rules { name: &name, given: options }.merged(&model)?;
        Ok((Self { name, file, unknown: tokenizer.unknown_id(), model }, options))
    }

    /// The special pieces by id.
    pub fn meta(&self) -> MetaPieces {
        let special = (0..)
            .zip(&self.model.pieces)
            .filter(|(_, piece)| !matches!(piece.r#type(), PieceType::Normal | PieceType::Unused));
        special.map(|(id, piece)| (id, (piece.piece().to_owned(), piece.r#type()))).collect()
    }

    /// Chooses the new pieces. Returns the content of the extended model file.
    ///
    /// # Errors
    /// The text gives too few new pieces, or has too many new characters; `progress` asks to stop.
    pub fn extend(
        &self,
        lines: Lines,
        alphabet: &Alphabet,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<Vec<u8>> {
        let size = self.model.pieces.len();
        let room = options.vocab_size as usize - size;
        let taken: HashSet<&[u8]> = self.model.pieces.iter().map(|piece| piece.piece().as_bytes()).collect();
        let new_characters: Vec<(Vec<u8>, u64)> = alphabet
            .by_count
            .iter()
            .map(|&(c, count)| (c.to_string().into_bytes(), count))
            .filter(|(piece, count)| *count > 0 && !taken.contains(&piece[..]))
            .collect();
        if new_characters.len() > room {
            let reason = format!(
                "is too small: {} of this text {} not in {}; pass vocab_size={} or more, or a `character_coverage` \
                 below {:?}",
                counted(new_characters.len(), "character"),
                if new_characters.len() == 1 { "is" } else { "are" },
                self.name,
                size + new_characters.len(),
                options.character_coverage
            );
            return Err(Error::unfit("vocab_size", options.vocab_size, reason));
        }
        let required = new_characters.len();
        let rule = PieceRule::new(alphabet, options);
        let found = seeds::seeds(&lines, alphabet, &rule, (options.seeds(), seeds::CHUNK_BYTES), progress)?;
        let mut candidates = new_characters;
        candidates.extend(choice::counted(&found, alphabet).into_iter().filter(|(piece, _)| {
            // ALBERT's text rules split pieces such as "10,", so they never become tokens.
            let is_split = before_digit_comma(piece).is_some();
            char_length(piece[0]) < piece.len() && !taken.contains(&piece[..]) && !is_split
        }));
        let stage = Stage::whole("sorting words", "words", lines.words().len() as u64);
        let words = watched(progress, stage, |watch| Counted::new(lines, options, watch))?;
        let mut choice = choice::Choice::new(&words, &self.model, self.unknown, options);
        let pieces = choice.run(candidates, required, room, progress)?;
        if pieces.len() < room && options.hard_vocab_limit {
            // How many pieces a text gives depends on the size too, so no size is named.
            let advice = if pieces.is_empty() {
                "pass more text, or text of another kind"
            } else {
                "pass hard_vocab_limit=False to add only these, a smaller `vocab_size`, or more text"
            };
            let found = counted(pieces.len(), "new piece");
            let reason = format!("is too large: this text gives only {found}; {advice}");
            return Err(Error::unfit("vocab_size", options.vocab_size, reason));
        }
        file::extended(&self.file, &pieces)
    }
}

/// Compares the options with the rules of the model.
struct Rules<'a> {
    /// The model's file.
    name: &'a str,
    given: &'a Options,
}

impl Rules<'_> {
    /// Returns the options with the model's rules.
    fn merged(&self, model: &ModelProto) -> Result<Options> {
        let given = self.given;
        let default = Options::default();
        let spec = model.trainer_spec.clone().unwrap_or_default();
        let flag = |name, pick: fn(&Options) -> bool, own: Option<bool>| {
            let own = own.unwrap_or(pick(&default));
            self.agree(name, pick(given), pick(&default), own)
        };
        let normalizer = model.normalizer_spec.clone().unwrap_or_default();
        let longest = spec.max_sentencepiece_length.map_or(default.max_sentencepiece_length, |it| it.max(1) as u32);
        let own = Normalization {
            name: normalizer.name.unwrap_or_default(),
            charsmap: normalizer.precompiled_charsmap.unwrap_or_default(),
            add_dummy_prefix: normalizer.add_dummy_prefix.unwrap_or(true),
            remove_extra_whitespaces: normalizer.remove_extra_whitespaces.unwrap_or(true),
        };
        let rules = &given.normalization;
        if *rules != default.normalization && *rules != own {
            return Err(self.contradiction("normalization_rule_name", &quoted(&own.name), &quoted(&rules.name)));
        }
        let of_kind = |kind: PieceType| {
            let pieces = model.pieces.iter().filter(|piece| piece.r#type() == kind);
            pieces.map(|piece| piece.piece().to_owned()).collect::<Vec<String>>()
        };
        let symbols = of_kind(PieceType::UserDefined);
        if let Some(other) = given.user_defined_symbols.iter().find(|symbol| !symbols.contains(symbol)) {
            let rule = format!("symbols of {}", self.name);
            return Err(Error::rule_with_fix("user_defined_symbols", rule, format!("{other:?}"), "remove it"));
        }
        // The characters of the model count as covered.
        let characters = model.pieces.iter().filter(|piece| piece.r#type() == PieceType::Normal);
        let characters = characters.filter_map(|piece| {
            let mut all = piece.piece().chars();
            all.next().filter(|_| all.next().is_none())
        });
        Ok(Options {
            required_chars: characters.chain(given.required_chars.chars()).collect(),
            max_sentencepiece_length: self.agree(
                "max_sentencepiece_length",
                given.max_sentencepiece_length,
                default.max_sentencepiece_length,
                longest,
            )?,
            split_by_unicode_script: flag(
                "split_by_unicode_script",
                |it| it.split_by_unicode_script,
                spec.split_by_unicode_script,
            )?,
            split_by_number: flag("split_by_number", |it| it.split_by_number, spec.split_by_number)?,
            split_by_whitespace: flag("split_by_whitespace", |it| it.split_by_whitespace, spec.split_by_whitespace)?,
            split_digits: flag("split_digits", |it| it.split_digits, spec.split_digits)?,
            treat_whitespace_as_suffix: flag(
                "treat_whitespace_as_suffix",
                |it| it.treat_whitespace_as_suffix,
                spec.treat_whitespace_as_suffix,
            )?,
            allow_whitespace_only_pieces: flag(
                "allow_whitespace_only_pieces",
                |it| it.allow_whitespace_only_pieces,
                spec.allow_whitespace_only_pieces,
            )?,
            byte_fallback: flag("byte_fallback", |it| it.byte_fallback, spec.byte_fallback)?,
            control_symbols: of_kind(PieceType::Control),
            user_defined_symbols: symbols,
            normalization: own,
            ..given.clone()
        })
    }

    /// Returns the model's value of an option, unless the user wants another one.
    fn agree<T: PartialEq + Copy + std::fmt::Debug>(
        &self,
        name: &'static str,
        given: T,
        default: T,
        own: T,
    ) -> Result<T> {
        if given != default && given != own {
            return Err(self.contradiction(name, &python(&own), &python(&given)));
        }
        Ok(own)
    }

    fn contradiction(&self, name: &'static str, own: &str, given: &str) -> Error {
        let reason =
            format!("{name}={given} contradicts {}, which was trained with {name}={own}; remove it", self.name);
        Error::conflict(name, reason)
    }
}

/// Returns a number, or a truth value, as Python spells it.
fn python(value: &impl std::fmt::Debug) -> String {
    match format!("{value:?}").as_str() {
        "true" => "True".into(),
        "false" => "False".into(),
        number => number.into(),
    }
}

/// Returns a name as Python spells it.
fn quoted(name: &str) -> String {
    format!("'{name}'")
}

#[cfg(test)]
mod tests;
