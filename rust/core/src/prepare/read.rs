//! Reads raw text into documents. The first bytes determine an input's format, and there is one file for each format.

mod arrow;
pub(super) mod divide;
pub mod format;
mod json_faults;
mod json_shape;
mod jsonl;
pub mod mediawiki;
pub mod options;
mod parquet;
pub mod parse;
mod plain;
pub mod raw;
pub mod reader;
mod records;
mod rows;
mod table;
pub(super) mod warc;
mod wikiextractor;
pub mod wikitext;
mod window;
mod xml;
