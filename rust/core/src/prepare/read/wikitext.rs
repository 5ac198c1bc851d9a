//! Wikitext to prose: what a reader of a page would read as running text, and none of the markup.
//!
//! What goes: comments, templates, tables, references, formulas and other extension elements with what they hold,
//! headings, files, categories, links to other languages, magic words, and list items that are not sentences. What stays
//! as text: paragraphs, labels of links, what HTML elements hold, list items that read as prose.
//!
//! Nothing here is MediaWiki's parser: templates are not expanded (the common [`templates`] keep their signs and words),
//! and what a page fails to close is cut as short as one can tell. In exchange the work is linear in the text, whatever the text is, and needs no stack of calls:
//!
//! 1. [`spans`] finds what is left out as a whole: elements, templates and tables, nested in each other, innermost first;
//! 2. [`links`] pairs the brackets of what is left;
//! 3. [`scan`] walks the text once, jumping over the former and into the labels of the latter;
//! 4. [`lines`] makes paragraphs of what the walk hands it, and mends what a gap leaves behind: `( )`, ` ,`.

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

/// Appends the prose of a page to `out`, one paragraph a line.
///
/// Returns the bytes of `out` at which a sentence lacks something, ascending: a template of which nobody knows what it
/// shows, or a formula, was removed from its middle. Each lies in the word before it or after it.
pub fn prose(wikitext: &str, site: &Site, out: &mut String) -> Vec<usize> {
    let spans = spans::find(wikitext, site);
    let links = links::find(wikitext, &spans.dropped);
    scan::scan(wikitext, site, &spans, &links, out)
}
