//! Wikitext to prose: a stand-in that keeps every line.

use super::mediawiki::Site;

/// Appends the prose of `wikitext` to `out`, one paragraph a line.
pub fn prose(wikitext: &str, _site: &Site, out: &mut String) {
    out.push_str(wikitext);
}
