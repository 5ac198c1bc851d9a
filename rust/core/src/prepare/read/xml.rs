//! Finds XML tags, ignoring comments, processing instructions and CDATA sections.

use memchr::{memchr, memmem};

/// The length of the longest string that a search recognizes after `<`.
const LONGEST_MARK: usize = b"<![CDATA[".len();

/// The result of a search for a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// The tag, at this byte.
    At(usize),
    /// Nothing. With more bytes, the search can continue at this one.
    Nothing(usize),
}

/// Searches `xml` from byte `from` for `tag`, outside comments, processing instructions and CDATA sections.
pub(super) fn find(xml: &[u8], tag: &[u8], from: usize) -> Search {
    let mut at = from;
    while let Some(found) = memchr(b'<', &xml[at..]) {
        at += found;
        let rest = &xml[at..];
        if rest.len() <= LONGEST_MARK && !rest.contains(&b'>') {
            // The tag may be incomplete.
            return Search::Nothing(at);
        }
        if rest.starts_with(tag) {
            return Search::At(at);
        }
        match skipped_length(rest) {
            Some(0) => return Search::Nothing(at),
            Some(length) => at += length,
            None => at += 1,
        }
    }
    Search::Nothing(xml.len())
}

/// As [`find`], but searches for the beginning of a `<page>`, which may have attributes.
pub(super) fn find_page(xml: &[u8], from: usize) -> Search {
    let mut at = from;
    loop {
        match find(xml, PAGE, at) {
            Search::At(found) if is_page(&xml[found..]) => return Search::At(found),
            Search::At(found) => at = found + PAGE.len(),
            nothing @ Search::Nothing(_) => return nothing,
        }
    }
}

const PAGE: &[u8] = b"<page";

/// Whether `xml` begins with a `<page>`, not with a longer name.
pub(super) fn is_page(xml: &[u8]) -> bool {
    let next = xml.strip_prefix(PAGE).and_then(<[u8]>::first);
    next.is_some_and(|next| next.is_ascii_whitespace() || *next == b'>')
}

/// Returns the length of the comment, processing instruction or CDATA section at the beginning of `xml`, or 0 if it is
/// incomplete. Returns `None` if `xml` begins with something else.
fn skipped_length(xml: &[u8]) -> Option<usize> {
    let (begin, end): (&[u8], &[u8]) = match xml {
        [b'<', b'!', b'-', b'-', ..] => (b"<!--", b"-->"),
        [b'<', b'?', ..] => (b"<?", b"?>"),
        _ if xml.starts_with(b"<![CDATA[") => (b"<![CDATA[", b"]]>"),
        _ => return None,
    };
    Some(memmem::find(&xml[begin.len()..], end).map_or(0, |at| begin.len() + at + end.len()))
}

/// Returns the length of whitespace, comments and processing instructions at the beginning of `xml`. Only these may be
/// between elements that contain no text.
pub(super) fn ignorable(xml: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += xml[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match skipped_length(&xml[at..]) {
            Some(length) if length > 0 && !xml[at..].starts_with(b"<![") => at += length,
            _ => return at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_in_comments_are_none() {
        let xml = b"<!-- </page> --><?x </page>?><![CDATA[</page>]]></pages></page><page> ";
        assert_eq!(find(xml, b"</page>", 0), Search::At(xml.len() - 14));
        assert_eq!(find(xml, b"</page>", xml.len() - 13), Search::Nothing(xml.len()));
        assert_eq!(find(b"<!-- <page> <page>", b"<page>", 0), Search::Nothing(0));
        assert_eq!(find(b"<pages><page>         ", b"<page>", 0), Search::At(7));
        for end in 0..xml.len() {
            let found = match find(&xml[..end], b"</page>", 0) {
                Search::At(at) => at,
                Search::Nothing(from) => match find(xml, b"</page>", from) {
                    Search::At(at) => at,
                    Search::Nothing(_) => panic!("{end}"),
                },
            };
            assert_eq!(found, xml.len() - 14, "{end}");
        }
    }

    #[test]
    fn pages_may_have_attributes() {
        for page in ["<page>", "<page >", "<page id=\"1\">", "<page\n>"] {
            let xml = format!("<!-- <page> --><pages/><page-x/>{page}<title>A</title></page>");
            assert_eq!(find_page(xml.as_bytes(), 0), Search::At(xml.rfind(page).unwrap()), "{page}");
        }
        assert_eq!(find_page(b"<siteinfo/><pages>        ", 0), Search::Nothing(26));
        assert_eq!(find_page(b"<siteinfo/><page", 0), Search::Nothing(11), "it may be cut");
    }

    #[test]
    fn ignorable_beginnings() {
        for (xml, length) in
            [("", 0), (" \n", 2), ("<!-- a --> <?b?>\nx", 17), ("<!-- a", 0), ("<![CDATA[a]]>", 0), ("<page>", 0)]
        {
            assert_eq!(ignorable(xml.as_bytes()), length, "{xml}");
        }
    }
}
