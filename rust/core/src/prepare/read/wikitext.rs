//! Converts wikitext to prose: the running text that a reader of the page sees, without markup.
//!
//! The following is dropped:
//! - comments, templates, tables, headings, magic words;
//! - references, formulas and other extension elements, with their content;
//! - files, categories, links to other languages;
//! - list items that are not sentences.
//!
//! Paragraphs, link labels, the content of HTML elements, and list items that read as prose are kept.
//!
//! This is not MediaWiki's parser. Templates are not expanded, but the signs and words of common [`templates`] are
//! kept. What a page does not close ends as early as seems right. In return, time is linear in the length of any text,
//! and there is no recursion:
//!
//! 1. [`spans`] finds elements, templates and tables to drop as a whole. They may be nested; the innermost are found
//!    first.
//! 2. [`links`] pairs the brackets in the rest.
//! 3. [`scan`] walks the text once. It skips those spans and enters the labels of links.
//! 4. [`lines`] turns the result into paragraphs, and repairs what a gap leaves: `( )`, ` ,`.

mod lines;
mod links;
mod scan;
mod span;
mod spans;
mod tags;
mod templates;
#[cfg(test)]
mod tests;

use super::mediawiki::Site;

/// Appends the prose of a page to `out`, one paragraph per line.
///
/// Returns the positions in `out`, in bytes and ascending, where a sentence lacks something. There, a formula or an
/// unknown template was removed. Each position is in the word before or after the gap.
pub fn prose(wikitext: &str, site: &Site, out: &mut String) -> Vec<usize> {
    let spans = spans::find(wikitext, site);
    let links = links::find(wikitext, &spans.dropped);
    scan::scan(wikitext, site, &spans, &links, out)
}
