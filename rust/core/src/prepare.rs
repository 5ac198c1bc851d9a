//! Raw text to sentences: what people have in, one sentence a line and a blank line after each document out.

mod format;
mod jsonl;
pub mod mediawiki;
mod parquet;
pub mod parse;
mod plain;
pub mod raw;
pub mod read;
mod wikiextractor;
pub mod wikitext;
