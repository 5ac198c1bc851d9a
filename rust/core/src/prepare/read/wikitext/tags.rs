//! Elements of HTML and of MediaWiki's extensions, as far as they matter for prose.

/// How to treat an element with everything between its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// Drop it from the sentence.
    Inline,
    /// Drop it, and join what is around it, because it is invisible or set above the text.
    Joining,
    /// A formula: drop it, and note that the sentence lacks something.
    Formula,
    /// Drop it, and end the paragraph.
    Block,
    /// Keep its content as text, not markup.
    Literal,
    /// Drop it if it spans several lines. Otherwise, drop only its tags.
    Code,
}

/// Elements whose content is not wikitext, or not prose of this page. MediaWiki does not interpret braces and brackets
/// in them.
pub(super) const ELEMENTS: [(&str, Element); 37] = [
    ("ref", Element::Inline),
    ("math", Element::Formula),
    ("nowiki", Element::Literal),
    ("code", Element::Code),
    ("references", Element::Block),
    ("gallery", Element::Block),
    ("syntaxhighlight", Element::Block),
    ("source", Element::Block),
    ("pre", Element::Block),
    ("chem", Element::Formula),
    ("ce", Element::Formula),
    ("timeline", Element::Block),
    ("score", Element::Block),
    ("imagemap", Element::Block),
    ("hiero", Element::Formula),
    ("graph", Element::Block),
    ("templatedata", Element::Block),
    ("templatestyles", Element::Joining),
    ("poem", Element::Block),
    ("includeonly", Element::Joining),
    ("mapframe", Element::Block),
    ("maplink", Element::Inline),
    ("inputbox", Element::Block),
    ("categorytree", Element::Block),
    ("charinsert", Element::Block),
    ("indicator", Element::Block),
    ("phonos", Element::Inline),
    ("section", Element::Joining),
    ("style", Element::Block),
    ("script", Element::Block),
    ("select", Element::Block),
    ("rt", Element::Joining),
    ("rp", Element::Joining),
    ("h2", Element::Block),
    ("h3", Element::Block),
    ("h4", Element::Block),
    ("dynamicpagelist", Element::Block),
];

/// Returns the index of a name in [`ELEMENTS`].
pub(super) fn element(name: &[u8]) -> Option<usize> {
    ELEMENTS.iter().position(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}

/// What a single tag does to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// Nothing.
    Inline,
    /// It ends a line of text.
    Break,
    /// It ends a paragraph.
    Block,
    /// It begins a list item.
    Item,
}

#[rustfmt::skip]
const INLINE: &[&str] = &[
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins",
    "kbd", "mark", "noinclude", "onlyinclude", "q", "rb", "rbc", "rtc", "ruby", "s", "samp", "small", "span",
    "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
];

#[rustfmt::skip]
const BLOCK: &[&str] = &[
    "blockquote", "caption", "center", "dir", "div", "dl", "h1", "h5", "h6", "hr", "menu", "ol", "p", "table",
    "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
];

/// Returns what a tag does, or `None` if its name is unknown.
pub(super) fn tag(name: &[u8]) -> Option<Tag> {
    let is = |known: &&str| known.as_bytes().eq_ignore_ascii_case(name);
    if INLINE.iter().any(is) {
        Some(Tag::Inline)
    } else if is(&"br") {
        Some(Tag::Break)
    } else if BLOCK.iter().any(is) {
        Some(Tag::Block)
    } else if ["li", "dd", "dt"].iter().any(is) {
        Some(Tag::Item)
    } else {
        element(name).map(|_| Tag::Inline)
    }
}

/// A tag in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawTag<'a> {
    pub name: &'a [u8],
    pub closes: bool,
    /// Whether it is `<name/>`.
    pub empty: bool,
    /// The position after it.
    pub end: usize,
    /// Whether it contains anything besides its name.
    pub attributes: bool,
    /// Whether one of its attributes is `inline`.
    pub inline: bool,
}

/// Reads the tag that begins with the `<` at `at` and ends at the next `>`. It is not a tag if another `<` comes first.
pub(super) fn read_tag(text: &[u8], at: usize) -> Option<RawTag<'_>> {
    let closes = text.get(at + 1) == Some(&b'/');
    let start = at + 1 + usize::from(closes);
    let length = text[start..].iter().take(24).take_while(|b| b.is_ascii_alphanumeric()).count();
    let name = &text[start..start + length];
    if !name.first()?.is_ascii_alphabetic() {
        return None;
    }
    let rest = &text[start + length..];
    if !matches!(rest.first()?, b'>' | b'/' | b' ' | b'\t' | b'\n' | b'\r') {
        return None;
    }
    let close = memchr::memchr2(b'>', b'<', rest)?;
    if rest[close] == b'<' {
        return None;
    }
    let inside = rest[..close].trim_ascii();
    let empty = inside.last() == Some(&b'/');
    let attributes = !inside.is_empty() && inside != b"/";
    // Attributes of tags have values, unlike in "if a<b and c>d".
    let is_inline = INLINE.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
    if attributes && !closes && is_inline && !inside.contains(&b'=') {
        return None;
    }
    let inline = attributes && inside.split(u8::is_ascii_whitespace).any(|it| it == b"inline" || it == b"inline=");
    Some(RawTag { name, closes, empty, end: start + length + close + 1, attributes, inline })
}

/// Whether `text` begins with a fraction slash and a denominator.
fn is_over(text: &[u8]) -> bool {
    let begins = |text: &[u8], start: &[u8]| text.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
    // A plain slash may mean "per".
    let is_plain = text.strip_prefix(b"/").is_some_and(|text| begins(text, b"<sub") || begins(text, b"{{sub"));
    is_plain || begins(text, "⁄".as_bytes()) || begins(text, b"&frasl;")
}

/// Returns what to insert between a digit and `raised`, a superscript, with `behind` after it. A superscript number is
/// a power: 10⁶ is not 106. It may also be a numerator (3¹/₂ is not 3 to the power of a half) or the charge of an ion
/// (SO₄²⁻).
pub(super) fn before_raised(raised: &str, behind: &[u8]) -> &'static str {
    const SIGNS: [char; 4] = ['-', '−', '–', '+'];
    let raised = raised.trim();
    let is_number =
        raised.starts_with(|c: char| c.is_ascii_digit() || SIGNS.contains(&c)) || raised.starts_with("&minus;");
    if !is_number {
        ""
    } else if is_over(behind) {
        " "
    } else if raised.ends_with(SIGNS) || raised.ends_with("&minus;") {
        ""
    } else {
        "^"
    }
}
