//! Pairs double brackets, and determines what a link shows by its target.

use memchr::memchr2_iter;

use super::span::{Span, SpanKind};
use super::spans::run;
use crate::prepare::read::mediawiki::Site;

/// Codes of Wikipedias that are not in ISO 639-1. A link `[[code:title]]` leads to the page in that language.
#[rustfmt::skip]
const WIKIS: &[&str] = &[
    "ace", "ady", "alt", "ami", "ang", "anp", "arc", "ary", "arz", "ast", "atj", "avk", "awa", "azb", "bar",
    "bat-smg", "bbc", "bcl", "bdr", "be-tarask", "be-x-old", "bew", "bjn", "blk", "bpy", "btm", "bug", "bxr",
    "cbk-zam", "cdo", "ceb", "chr", "chy", "ckb", "crh", "csb", "dag", "din", "diq", "dsb", "dtp", "dty", "eml",
    "ext", "fat", "fiu-vro", "fon", "frp", "frr", "fur", "gag", "gan", "gcr", "glk", "gom", "gor", "got", "gpe",
    "guc", "gur", "guw", "hak", "haw", "hif", "hsb", "hyw", "iba", "ilo", "inh", "jam", "jbo", "kaa", "kab", "kbd",
    "kbp", "kcg", "kge", "koi", "krc", "ksh", "lad", "lbe", "lez", "lfn", "lij", "lld", "lmo", "ltg", "mad", "mai",
    "map-bms", "mdf", "mhr", "min", "mnw", "mos", "mrj", "mwl", "myv", "mzn", "nah", "nap", "nds", "nds-nl", "new",
    "nia", "nov", "nqo", "nrm", "nso", "olo", "pag", "pam", "pap", "pcd", "pcm", "pdc", "pfl", "pih", "pms", "pnb",
    "pnt", "pwn", "rmy", "roa-rup", "roa-tara", "rsk", "rue", "sah", "sat", "scn", "sco", "shi", "shn", "simple",
    "skr", "smn", "srn", "stq", "szl", "szy", "tay", "tcy", "tdd", "tet", "tig", "tly", "tpi", "trv", "tum", "tyv",
    "udm", "vec", "vep", "vls", "war", "wuu", "xal", "xmf", "zea", "zgh", "zh-classical", "zh-min-nan", "zh-yue",
];

/// What `[[` and `]]` with this text between them show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing: a file, a category, the page in another language.
    Hidden,
    /// The wikitext between these positions.
    Shown(usize, usize),
}

/// Returns the matching pairs of `[[` and `]]` in the order of the text, outside `dropped`.
pub(super) fn find(text: &str, dropped: &[Span]) -> Vec<(usize, usize)> {
    let text = text.as_bytes();
    let mut found = Vec::new();
    let mut open = Vec::new();
    let mut from = 0;
    for span in dropped.iter().map(|span| (span.start, span.end)).chain([(text.len(), text.len())]) {
        let gap = &text[from..span.0];
        let mut at = 0;
        for next in memchr2_iter(b'[', b']', gap) {
            if next < at {
                continue;
            }
            let byte = gap[next];
            let count = run(gap, next, byte);
            at = next + count;
            // The first of three is text, or closes an external link in the label.
            for pair in 0..count / 2 {
                if byte == b'[' {
                    open.push(from + next + count % 2 + 2 * pair);
                } else if let Some(start) = open.pop() {
                    found.push((start, from + next + count % 2 + 2 * pair));
                }
            }
        }
        from = span.1;
    }
    found.sort_unstable();
    found
}

/// Returns what the link from `start` to `end` shows: after its `[[`, before its `]]`. `dropped` contains the spans
/// from there on.
pub(super) fn read(text: &str, start: usize, end: usize, dropped: &[Span], site: &Site) -> Link {
    let inside = &text[start..end];
    let head = &inside.as_bytes()[..inside.len().min(LONGEST_TARGET)];
    let (pipe, after_pipe) = find_pipe(head, start, dropped).unzip();
    // If the pipe is too far away for a target, this is text in brackets.
    let target = &inside[..pipe.unwrap_or(inside.len())];
    let blank = target.len() - target.trim_start().len();
    let colon = target[blank..].starts_with(':');
    if !colon && hides(target, site) {
        return Link::Hidden;
    }
    let shown = start + blank + usize::from(colon);
    let Some(pipe) = pipe else {
        if let Some(space) = is_url(inside).then(|| memchr::memchr(b' ', head)).flatten() {
            return Link::Shown(start + space, end);
        }
        return Link::Shown(shown + usize::from(text[shown..end].starts_with('#')), end);
    };
    let after_pipe = after_pipe.unwrap_or(pipe + 1);
    if inside[after_pipe..].trim().is_empty() {
        let (from, to) = without_qualifiers(&text[shown..start + pipe], site);
        return Link::Shown(shown + from, shown + to);
    }
    Link::Shown(start + after_pipe, end)
}

/// Finds the first `|` of `head`, which begins at `start`, outside dropped spans, or the first template that stands for
/// one. Returns its position and that of what follows.
fn find_pipe(head: &[u8], start: usize, dropped: &[Span]) -> Option<(usize, usize)> {
    let mut dropped = dropped.iter().peekable();
    let mut from = 0;
    loop {
        let found = memchr::memchr(b'|', head.get(from..)?).map(|found| from + found);
        let at = found.unwrap_or(head.len());
        while let Some(span) = dropped.next_if(|span| span.end <= start + at) {
            if span.kind == SpanKind::Pipe && span.start >= start {
                return Some((span.start - start, span.end - start));
            }
        }
        match dropped.peek() {
            Some(span) if span.start <= start + at && found.is_some() => from = span.end - start,
            _ => return found.map(|at| (at, at + 1)),
        }
    }
}

/// A title has at most 255 bytes. Entities and spaces may make it longer.
const LONGEST_TARGET: usize = 1 << 10;

/// Whether a link to `target`, without a leading colon, shows nothing in the text.
pub(super) fn hides(target: &str, site: &Site) -> bool {
    let Some(colon) = memchr::memchr(b':', &target.as_bytes()[..target.len().min(LONGEST_TARGET)]) else {
        return false;
    };
    if colon > 64 {
        return false;
    }
    let prefix = target[..colon].trim_matches([' ', '_']);
    if prefix.is_empty() {
        return false;
    }
    let prefix = prefix.to_lowercase().replace('_', " ");
    let is_language = match prefix.len() {
        2 if prefix.is_ascii() => isolang::Language::from_639_1(&prefix).is_some(),
        _ => WIKIS.binary_search(&prefix.as_str()).is_ok(),
    };
    is_language || site.is_file(&prefix) || site.is_category(&prefix)
}

/// Whether `text` begins with the scheme of a URL.
pub(super) fn is_url(text: &str) -> bool {
    const SCHEMES: &[&str] = &[
        "http://",
        "https://",
        "//",
        "ftp://",
        "ftps://",
        "mailto:",
        "news:",
        "irc://",
        "gopher://",
        "git://",
        "svn://",
    ];
    SCHEMES.iter().any(|scheme| {
        text.len() > scheme.len() && text.as_bytes()[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes())
    })
}

/// Returns what `[[target|]]` shows: `target` without namespace, without final brackets, without anything after a
/// comma.
fn without_qualifiers(target: &str, site: &Site) -> (usize, usize) {
    let from = match target.find(':') {
        Some(colon) if site.is_namespace(&target[..colon].trim().to_lowercase().replace('_', " ")) => colon + 1,
        _ => 0,
    };
    let title = &target[from..];
    let brackets = title.trim_end().strip_suffix(')').and_then(|inside| inside.rfind('('));
    let end = brackets.or_else(|| title.find(", ")).map_or(title.len(), |end| title[..end].trim_end().len());
    if end == 0 { (from, target.len()) } else { (from, from + end) }
}
