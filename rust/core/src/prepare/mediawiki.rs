//! `MediaWiki` dumps: a stand-in that knows the elements it needs and nothing more.

/// What a dump's header says of the site.
#[derive(Debug, Default)]
pub struct Site {
    /// ISO 639-1 code of the content's language.
    pub language: Option<String>,
}

impl Site {
    /// Reads the bytes from the start of a dump to its first `<page>`.
    pub fn parse(header: &[u8]) -> Result<Self, String> {
        let header = String::from_utf8_lossy(header);
        let language = header.split_once("xml:lang=\"").and_then(|(_, rest)| rest.split('"').next()).map(str::to_owned);
        Ok(Self { language })
    }
}

/// One page.
#[derive(Debug)]
pub enum Page {
    /// An article.
    Article {
        /// Its title.
        title: String,
        /// Its wikitext.
        text: String,
    },
    /// A redirect.
    Redirect,
    /// Anything else.
    Other,
}

/// A page that cannot be read.
#[derive(Debug)]
pub struct PageError {
    /// Byte within the page.
    pub offset: usize,
    /// What was found.
    pub reason: String,
}

/// Reads one `<page>` element.
pub fn page(xml: &[u8], _site: &Site) -> Result<Page, PageError> {
    let xml = std::str::from_utf8(xml).map_err(|e| PageError { offset: e.valid_up_to(), reason: e.to_string() })?;
    let between = |open: &str, close: &str| {
        let begin = xml.find(open)? + open.len();
        Some(xml[begin..begin + xml[begin..].find(close)?].to_owned())
    };
    if xml.contains("<redirect") {
        return Ok(Page::Redirect);
    }
    if between("<ns>", "</ns>").is_some_and(|ns| ns != "0") {
        return Ok(Page::Other);
    }
    match (between("<title>", "</title>"), between("<text>", "</text>")) {
        (Some(title), Some(text)) => Ok(Page::Article { title, text }),
        _ => Err(PageError { offset: 0, reason: "a page without <title> or <text>".into() }),
    }
}
