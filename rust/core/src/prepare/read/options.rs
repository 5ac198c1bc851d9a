//! How raw text is read.

use serde::{Deserialize, Serialize};

use crate::files::inputs::OnBadUtf8;
use crate::{Error, Result};

/// What an input holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// What its first bytes say.
    #[default]
    Auto,
    /// Plain text.
    Text,
    /// One JSON object a line.
    Jsonl,
    /// What wikiextractor writes without `--json`.
    Wikiextractor,
    /// An XML dump of a `MediaWiki` site.
    Mediawiki,
    /// Apache Parquet.
    Parquet,
    /// Arrow's IPC streams and files.
    Arrow,
    /// Values separated by commas, semicolons or bars.
    Csv,
    /// Values separated by tabs.
    Tsv,
    /// WARC records of extracted text.
    Wet,
}

/// What a document of plain text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentRule {
    /// A file.
    #[default]
    File,
    /// What lies between blank lines.
    BlankLine,
}

/// What a paragraph of a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum ParagraphRule {
    /// What lies between blank lines, in plain text whose documents these do not separate; else a line.
    #[default]
    Auto,
    /// A line.
    Line,
    /// What lies between blank lines.
    BlankLine,
}

/// How raw text is read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadOptions {
    /// What the inputs hold.
    pub format: Format,
    /// The field (JSON Lines) or column (Parquet) with the text. Dots lead into nested objects and structs, unless there is
    /// a field of that very name.
    pub text_field: String,
    /// What a document of plain text is.
    pub documents: DocumentRule,
    /// The line that separates documents of plain text, white space at its ends not counted; it comes before `documents`.
    pub document_separator: Option<String>,
    /// What a paragraph is.
    pub paragraphs: ParagraphRule,
    /// What becomes of bytes that are not UTF-8.
    pub on_bad_utf8: OnBadUtf8,
    /// Leave out records that cannot be read, and count them, rather than stop.
    pub skip_bad: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            text_field: "text".into(),
            documents: DocumentRule::File,
            document_separator: None,
            paragraphs: ParagraphRule::Auto,
            on_bad_utf8: OnBadUtf8::Error,
            skip_bad: false,
        }
    }
}

impl ReadOptions {
    /// # Errors
    /// [`Error::Option`] naming the first option outside its rule.
    pub fn check(&self) -> Result<()> {
        if self.text_field.is_empty() {
            return Err(Error::Option("the name of the text field is empty; name a field, such as text".into()));
        }
        match &self.document_separator {
            Some(line) if line.trim().is_empty() => Err(Error::Option(
                "the document separator is blank; give a line of text, or let blank lines separate documents".into(),
            )),
            Some(line) if line.trim().contains('\n') => {
                Err(Error::Option(format!("the document separator {line:?} is more than one line; give one line")))
            }
            _ => Ok(()),
        }
    }
}
