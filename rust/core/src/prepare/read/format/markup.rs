//! Recognizes XML and HTML, and formats based on them: dumps, the output of wikiextractor, web archives.

use memchr::{memchr, memmem};

use super::{Kind, Other, trim_start};
use crate::prepare::read::xml::is_page;

/// HTML elements at the beginning of a page or a part of one. Most elements with one letter are missing, because they
/// are too often something else.
#[rustfmt::skip]
const HTML: &[&str] = &[
    "html", "head", "body", "title", "meta", "link", "script", "style", "div", "span", "table", "thead", "tbody", "tr",
    "td", "th", "ul", "ol", "li", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "p", "a", "b", "i", "em", "strong", "br",
    "hr", "img", "center", "font", "article", "section", "header", "footer", "main", "nav", "form", "iframe", "pre",
    "blockquote", "noscript", "base", "video", "figure", "details", "summary", "sup", "sub", "u",
];

/// A file that may be XML, if only a comment was examined.
pub(super) const LONG_COMMENT: &str = "XML that begins with a comment of more than 64 KiB";

/// Recognizes `text` if it is markup.
pub(super) fn recognize(text: &[u8], whole: bool) -> Option<Kind> {
    if text.starts_with(b"WARC/") {
        return Some(Kind::Wet);
    }
    if is_cut_dump(text) {
        return Some(Kind::Mediawiki);
    }
    if text.first() != Some(&b'<') {
        return None;
    }
    let element = first_element(text);
    if !whole && element.starts_with(b"<!--") {
        let advice = "pass format='mediawiki' if it is a MediaWiki dump; otherwise, extract its text first";
        return Some(Other::text(LONG_COMMENT, advice));
    }
    if is_html(text) || is_html(element) {
        return Some(html());
    }
    let name = element.strip_prefix(b"<").map(name);
    match name {
        Some(b"mediawiki") => return Some(Kind::Mediawiki),
        // A part of a dump: one of several streams, or the end of the last.
        Some(b"page") if is_page(element) && memmem::find(element, b"<title>").is_some() => {
            return Some(Kind::Mediawiki);
        }
        Some(b"") if element.starts_with(b"</mediawiki>") => return Some(Kind::Mediawiki),
        Some(b"doc") if is_doc(element) && element.len() == text.len() => return Some(Kind::Wikiextractor),
        _ => {}
    }
    if element.strip_prefix(b"</").is_some_and(|end| {
        let name = self::name(end);
        !name.is_empty() && end[name.len()..].trim_ascii_start().starts_with(b">")
    }) {
        return Some(xml(element));
    }
    if text.starts_with(b"<?xml") || starts_with_ignoring_case(text, b"<!doctype ") {
        return Some(xml(element));
    }
    let name = name.filter(|name| !name.is_empty())?;
    if !is_markup(element, name, whole) {
        return None;
    }
    let is_html = HTML.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(name));
    Some(if is_html { html() } else { xml(element) })
}

/// Whether `text` is a MediaWiki dump without its beginning: some lines begin with tags that occur like this only in
/// dumps.
fn is_cut_dump(text: &[u8]) -> bool {
    #[rustfmt::skip]
    const TAGS: &[&str] = &[
        "<page>", "</page>", "<title>", "<ns>", "<revision>", "</revision>", "<contributor>", "<model>wikitext<",
        "<format>text/x-wiki<", "<text ", "<sha1>", "</mediawiki>",
    ];
    // So few tags are enough if they include the beginning or end of a page.
    const ENOUGH: usize = 3;
    if text.starts_with(b"<mediawiki") || text.starts_with(b"<?xml") || memmem::find(text, b"page").is_none() {
        return false;
    }
    let mut found = vec![false; TAGS.len()];
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii_start();
        if let Some(at) =
            TAGS.iter().position(|tag| line.starts_with(tag.as_bytes()) || *tag == "<page>" && is_page(line))
        {
            found[at] = true;
        }
    }
    (found[0] || found[1]) && found.iter().filter(|&&it| it).count() >= ENOUGH
}

fn html() -> Kind {
    Other::text("HTML", "extract its text first (trafilatura)")
}

fn xml(element: &[u8]) -> Kind {
    if element.starts_with(b"<Error") && memmem::find(element, b"<Code>").is_some() {
        return Other::text("an error message of a server (XML), not the data", "fetch the file again");
    }
    Other::text("XML other than a MediaWiki dump", "extract its text first")
}

fn is_html(text: &[u8]) -> bool {
    starts_with_ignoring_case(text, b"<!doctype html") || starts_with_ignoring_case(text, b"<html")
}

fn starts_with_ignoring_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// Returns what follows the declarations and comments at the beginning of XML or HTML.
pub(super) fn first_element(mut text: &[u8]) -> &[u8] {
    loop {
        let end: &[u8] = match text {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            // A document type may contain declarations.
            [b'<', b'!', ..] if !starts_with_ignoring_case(text, b"<!doctype html") => {
                let bracket = memchr(b'[', text).unwrap_or(usize::MAX);
                if memchr(b'>', text).is_some_and(|end| bracket < end) { b"]>" } else { b">" }
            }
            _ => return text,
        };
        let Some(at) = memmem::find(text, end) else { return text };
        text = trim_start(&text[at + end.len()..]);
    }
}

/// Returns the name at the beginning of `text`, such as that of an element.
fn name(text: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | 0x80..);
    let end = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    if text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | 0x80..)) {
        &text[..end]
    } else {
        &[]
    }
}

/// Whether a `<doc` is wikiextractor's, which has attributes. Other formats also have elements of this name.
fn is_doc(element: &[u8]) -> bool {
    let line = &element[..memchr(b'\n', element).unwrap_or(element.len())];
    line.get(4).is_some_and(u8::is_ascii_whitespace) && memchr(b'=', line).is_some()
}

/// Whether `text`, which begins with `<name`, is markup. Prose may also begin with a word in angle brackets.
fn is_markup(text: &[u8], name: &[u8], whole: bool) -> bool {
    let rest = &text[1 + name.len()..];
    let Some(end) = memchr(b'>', rest) else { return false };
    let attributes = rest[..end].trim_ascii();
    let is_tag = match attributes {
        [] | [b'/'] => true,
        _ => {
            (rest[0].is_ascii_whitespace() || rest[0] == b'/')
                && (memmem::find(attributes, b"=\"").is_some() || memmem::find(attributes, b"='").is_some())
        }
    };
    if !is_tag {
        return false;
    }
    // It has attributes, is empty, or is closed. If the examined text ends before, an element inside it must be closed.
    let ends = |name: &[u8], text: &[u8]| memmem::find(text, &[b"</", name, b">"].concat()).is_some();
    if !attributes.is_empty() || ends(name, rest) {
        return true;
    }
    let mut inner = &rest[end..];
    while !whole && let Some(at) = memchr(b'<', inner) {
        inner = &inner[at + 1..];
        let name = self::name(inner);
        if !name.is_empty() && ends(name, inner) {
            return true;
        }
    }
    false
}
