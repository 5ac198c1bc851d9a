//! MediaWiki dumps.

/// What a dump's header says of the site.
#[derive(Debug, Default)]
pub struct Site {
    /// ISO 639-1 code of the content's language.
    pub language: Option<String>,
}
