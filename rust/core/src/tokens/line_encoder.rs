//! Tokenizes lines, and loads the tokenizer that a token store was made with.

use std::path::Path;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::store::{META_FILE, MODEL_FILE, StoreMeta, TokenStore, VOCABULARY_FILE};
use super::tokenize::Encode;
use super::tokenizer::{State, TextRules, Tokenizer, is_python_space};
use crate::{Error, Result};

/// A [`Tokenizer`] that reads lines.
#[derive(Debug, Clone, Copy)]
pub struct LineEncoder<'a> {
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Whether lines are read as in the reference: a line ends a document if the text rules leave nothing of it, and
    /// unknown pieces keep whether they begin a word. Otherwise, a line of only whitespace ends a document.
    pub reference: bool,
}

impl Encode for LineEncoder<'_> {
    type State = State;

    fn state(&self) -> State {
        self.tokenizer.state(self.reference)
    }

    fn encode_line(&self, state: &mut State, line: &str, out: &mut Vec<u32>) -> bool {
        let blank = self.is_blank(state, line);
        if !blank {
            self.tokenizer.encode(state, line, out);
        }
        !blank
    }

    fn is_blank(&self, state: &mut State, line: &str) -> bool {
        if self.reference { self.tokenizer.is_blank(state, line) } else { line.chars().all(is_python_space) }
    }

    fn vocab_size(&self) -> u32 {
        self.tokenizer.pieces().len() as u32
    }

    fn digest(&self) -> &str {
        self.tokenizer.digest()
    }

    fn description(&self) -> Value {
        let rules = self.tokenizer.text_rules();
        json!({
            "kind": self.tokenizer.kind(),
            "file": self.tokenizer.name(),
            "vocab_size": self.tokenizer.pieces().len(),
            "text_rules": if rules.is_some() { "albert" } else { "none" },
            "lower_case": rules.is_some_and(|rules| rules.lower_case),
            "keep_accents": rules.is_none_or(|rules| rules.keep_accents),
            "digest": self.tokenizer.digest(),
            "vocab_digest": self.tokenizer.vocab_digest(),
        })
    }

    fn file(&self) -> Option<(&'static str, &[u8])> {
        let name = if self.tokenizer.kind() == "wordpiece" { VOCABULARY_FILE } else { MODEL_FILE };
        Some((name, self.tokenizer.file_bytes()))
    }
}

/// Loads the tokenizer that `store` was made with, from the copy in the store.
///
/// # Errors
/// [`Error::Data`] if the store has no copy or the copy does not match its description; errors from loading it.
pub fn tokenizer_of(store: &TokenStore) -> Result<Tokenizer> {
    tokenizer_in(store.directory(), store.meta())
}

/// Loads the tokenizer that the store in `directory`, local or remote, was made with. Its parts are not read.
///
/// # Errors
/// Those of [`tokenizer_of`] and [`TokenStore::read_meta`].
pub fn tokenizer_at(directory: &Path) -> Result<Tokenizer> {
    tokenizer_in(directory, &TokenStore::read_meta(directory)?)
}

fn tokenizer_in(directory: &Path, meta: &StoreMeta) -> Result<Tokenizer> {
    let Some(name) = &meta.tokenizer_file else {
        return Err(Error::data(
            directory.join(META_FILE),
            "the store has no copy of its tokenizer; pass the one that it was made with, or make the store again",
        ));
    };
    let rules = TextRules {
        lower_case: meta.tokenizer["lower_case"] == true,
        keep_accents: meta.tokenizer["keep_accents"] == true,
    };
    // The name comes from a file that anybody may have written.
    let path = directory.join(Path::new(name).file_name().unwrap_or_default());
    let tokenizer = if name == VOCABULARY_FILE {
        Tokenizer::from_vocabulary(&path, rules)
    } else {
        Tokenizer::from_model(&path, (meta.tokenizer["text_rules"] == "albert").then_some(rules))
    }?;
    if tokenizer.digest() != meta.tokenizer_digest {
        return Err(Error::data(
            path,
            format!(
                "not the tokenizer that the store was made with (digest {}, but {META_FILE} says {}); copy the store again, or make it again",
                tokenizer.digest(),
                meta.tokenizer_digest
            ),
        ));
    }
    Ok(match meta.tokenizer["file"].as_str() {
        Some(name) => tokenizer.with_name(name),
        None => tokenizer,
    })
}

/// Refuses a tokenizer other than the one that `store` was made with.
///
/// # Errors
/// [`Error::Tokenizer`].
pub fn check_tokenizer(store: &TokenStore, tokenizer: &Tokenizer) -> Result<()> {
    check_tokenizer_of(store.directory(), store.meta(), tokenizer)
}

/// As [`check_tokenizer`], for the store in `directory` that `meta` describes.
///
/// # Errors
/// [`Error::Tokenizer`].
pub fn check_tokenizer_of(directory: &Path, meta: &StoreMeta, tokenizer: &Tokenizer) -> Result<()> {
    if meta.tokenizer_digest == tokenizer.digest() {
        return Ok(());
    }
    let made = &meta.tokenizer;
    let now = LineEncoder { tokenizer, reference: false }.description();
    let short = |digest: &str| digest.chars().take(8).collect::<String>();
    let path = tokenizer.path().display();
    // Stores made before the vocabulary had a digest describe only the tokenizer.
    let same = match made["vocab_digest"].as_str() {
        Some(digest) => digest == tokenizer.vocab_digest(),
        None => tokenizer_in(directory, meta).is_ok_and(|own| own.pieces() == tokenizer.pieces()),
    };
    let rules = |of: &Value| format!("lower_case {}, keep_accents {}", of["lower_case"], of["keep_accents"]);
    let reason = if same && made["kind"] == now["kind"] && rules(made) != rules(&now) {
        format!("with other text rules ({}) than {path} is used with ({})", rules(made), rules(&now))
    } else {
        format!(
            "with another tokenizer, {} (digest {}), than {path} (digest {})",
            made["file"].as_str().unwrap_or("without a name"),
            short(&meta.tokenizer_digest),
            short(tokenizer.digest()),
        )
    };
    let reason = format!("made {reason}; drop `tokenizer` to use the store's own, or tokenize the text again");
    Err(Error::tokenizer(directory, reason))
}

/// Returns a digest of a store's contents.
pub fn store_digest(store: &StoreMeta) -> String {
    let parts: Vec<&str> = store.parts.iter().map(|part| part.xxh3_128.as_str()).collect();
    format!("{:032x}", xxh3_128(parts.join(",").as_bytes()))
}
