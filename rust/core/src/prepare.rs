//! Raw text to sentences: what people have in, one sentence a line and a blank line after each document out.

pub mod mediawiki;
pub mod raw;
pub mod wikitext;
