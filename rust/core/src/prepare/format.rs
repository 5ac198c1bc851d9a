//! What an input holds, by its first bytes after decompression.

use memchr::memmem;

use super::json_shape::{self, Shape};
use super::read::{Format, ReadOptions};

/// What an input holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Text,
    Jsonl,
    Wikiextractor,
    Mediawiki,
    Parquet,
}

impl Found {
    /// The name that the option has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Jsonl => "jsonl",
            Self::Wikiextractor => "wikiextractor",
            Self::Mediawiki => "mediawiki",
            Self::Parquet => "parquet",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Text => "plain text",
            Self::Jsonl => "JSON Lines",
            Self::Wikiextractor => "wikiextractor's output",
            Self::Mediawiki => "a MediaWiki dump",
            Self::Parquet => "Parquet",
        }
    }
}

/// What the data are that cannot be read, and what to do.
struct Unread {
    what: &'static str,
    advice: &'static str,
    /// Whether someone may call it text all the same.
    perhaps_text: bool,
}

const fn unread(what: &'static str, advice: &'static str) -> Unread {
    Unread { what, advice, perhaps_text: false }
}

/// What to read an input as that begins with `head`, of which `whole` says whether it is all.
///
/// # Errors
/// What the data look like and what to do, where they are not what the options say, or nothing that is read.
pub(super) fn find(head: &[u8], whole: bool, options: &ReadOptions) -> Result<Found, String> {
    let wanted = match options.format {
        Format::Auto => {
            return detect(head, whole).map_err(|it| format!("this is {}, which is not read; {}", it.what, it.advice));
        }
        Format::Text => Found::Text,
        Format::Jsonl => Found::Jsonl,
        Format::Wikiextractor => Found::Wikiextractor,
        Format::Mediawiki => Found::Mediawiki,
        Format::Parquet => Found::Parquet,
    };
    let looks = match detect(head, whole) {
        Ok(found) if found == wanted => return Ok(wanted),
        // Whoever calls it text wants it as it is.
        Ok(found) if wanted == Found::Text && found != Found::Parquet => return Ok(wanted),
        Err(it) if wanted == Found::Text && it.perhaps_text => return Ok(wanted),
        // The first line may be one of the bad ones.
        Ok(Found::Text)
            if wanted == Found::Jsonl && (options.skip_bad || head.trim_ascii_start().starts_with(b"{")) =>
        {
            return Ok(wanted);
        }
        Ok(found) => found.description(),
        Err(it) => it.what,
    };
    let wanted = wanted.description();
    Err(format!(
        "this is not {wanted}, as the options say, but looks like {looks}; leave the format out to have it found out"
    ))
}

fn detect(head: &[u8], whole: bool) -> Result<Found, Unread> {
    match head {
        [b'P', b'A', b'R', b'1', ..] => return Ok(Found::Parquet),
        [b'P', b'A', b'R', b'E', ..] => return Err(unread("encrypted Parquet", "decrypt it first")),
        [b'%', b'P', b'D', b'F', b'-', ..] => return Err(unread("a PDF", "extract its text first (pdftotext)")),
        [b'P', b'K', 3, 4, ..] => return Err(unread("a zip archive", "unpack it first")),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            return Err(unread("UTF-16 text", "convert it first (iconv -f UTF-16 -t UTF-8)"));
        }
        [0x1F, 0x8B, ..] | [0x28, 0xB5, 0x2F, 0xFD, ..] | [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => {
            return Err(unread("data compressed twice", "decompress it once"));
        }
        _ if head.get(257..262) == Some(b"ustar") => return Err(unread("a tar archive", "unpack it first (tar -x)")),
        _ if head.contains(&0) => {
            let what = "binary data (it has NUL bytes)";
            return Err(Unread { what, advice: "give UTF-8 text", perhaps_text: true });
        }
        _ => {}
    }
    let text = head.trim_ascii_start();
    let element = first_element(text);
    if element.starts_with(b"<mediawiki") {
        return Ok(Found::Mediawiki);
    }
    if text.starts_with(b"<doc ") {
        return Ok(Found::Wikiextractor);
    }
    if text.starts_with(b"{\\rtf") {
        return Err(unread("RTF", "extract its text first"));
    }
    let is_html =
        |text| starts_with_ignoring_case(text, b"<!doctype html") || starts_with_ignoring_case(text, b"<html");
    if text.starts_with(b"<?xml") && !is_html(element) {
        let advice = "of XML, dumps whose first element is <mediawiki> are; extract the text first";
        return Err(Unread { what: "XML, but no dump of MediaWiki", advice, perhaps_text: true });
    }
    if is_html(text) || is_html(element) {
        let advice = "extract its text first (trafilatura, say), or give the format text to take it with all its tags";
        return Err(Unread { what: "HTML", advice, perhaps_text: true });
    }
    match json_shape::shape(head, whole) {
        Shape::Lines => Ok(Found::Jsonl),
        Shape::Text => Ok(Found::Text),
        Shape::Other { what, advice } => Err(Unread { what, advice, perhaps_text: true }),
    }
}

fn starts_with_ignoring_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// What follows the declarations and comments that XML and HTML may begin with.
fn first_element(mut text: &[u8]) -> &[u8] {
    loop {
        let end: &[u8] = match text {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'!', ..] if !starts_with_ignoring_case(text, b"<!doctype html") => b">",
            _ => return text,
        };
        let Some(at) = memmem::find(text, end) else { return text };
        text = text[at + end.len()..].trim_ascii_start();
    }
}
