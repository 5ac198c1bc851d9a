//! Turns a corpus into tokenized documents: tokenizers and their training, the token store, and the code that fills it.

pub mod changes;
pub mod corpus;
pub mod documents;
pub mod line_encoder;
mod reading;
pub mod store;
pub mod tokenize;
pub mod tokenizer;
pub mod training;
pub mod vocab;
