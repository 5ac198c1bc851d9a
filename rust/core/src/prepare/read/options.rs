//! Options for reading raw text.

use serde::{Deserialize, Serialize};

use crate::files::inputs::OnBadUtf8;
use crate::{Error, Result};

/// The format of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Determined by the first bytes.
    #[default]
    Auto,
    /// Plain text.
    Text,
    /// One JSON object per line.
    Jsonl,
    /// The output of wikiextractor without `--json`.
    Wikiextractor,
    /// An XML dump of a `MediaWiki` site.
    Mediawiki,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC streams and files.
    Arrow,
    /// Values separated by commas, semicolons or bars.
    Csv,
    /// Values separated by tabs.
    Tsv,
    /// WARC records of extracted text.
    Wet,
}

/// What a document is in plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentRule {
    /// A file.
    #[default]
    File,
    /// The text between blank lines.
    BlankLine,
}

/// What a paragraph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum ParagraphRule {
    /// The text between blank lines, in plain text whose documents are not separated by blank lines. Otherwise, a line.
    #[default]
    Auto,
    /// A line.
    Line,
    /// The text between blank lines.
    BlankLine,
}

/// How raw text is read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadOptions {
    /// The format of the inputs.
    pub format: Format,
    /// The JSON field or the column with the text. Dots lead into nested objects and structs, unless a field has
    /// exactly this name.
    pub text_field: String,
    /// What a document is in plain text.
    pub documents: DocumentRule,
    /// The line that separates documents in plain text, ignoring whitespace around it. Takes precedence over
    /// `documents`.
    pub document_separator: Option<String>,
    /// What a paragraph is.
    pub paragraphs: ParagraphRule,
    /// What to do with bytes that are not UTF-8.
    pub on_bad_utf8: OnBadUtf8,
    /// Whether to skip and count records that cannot be read, instead of failing.
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
    /// Checks that each value follows its rule.
    ///
    /// # Errors
    /// [`Error::Rule`] naming the first that does not.
    pub fn check(&self) -> Result<()> {
        if self.text_field.is_empty() {
            return Err(Error::rule("text_field", "the name of a field, such as text", "an empty name"));
        }
        match &self.document_separator {
            Some(line) if line.trim().is_empty() => Err(Error::rule_with_fix(
                "document_separator",
                "a line of text",
                "a blank line",
                "pass documents='blank-line' if blank lines separate documents",
            )),
            Some(line) if line.trim().contains('\n') => {
                Err(Error::rule("document_separator", "a single line", format!("{line:?}")))
            }
            _ => Ok(()),
        }
    }
}
