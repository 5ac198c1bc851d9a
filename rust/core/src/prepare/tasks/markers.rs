//! What tasks note when they have done a portion or a partition, each in a file of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::header::Shard;
use crate::prepare::hashes::Place;
use crate::prepare::near::KeySizes;
use crate::prepare::read::reader::RawReader;
use crate::prepare::summary::Summary;
use crate::prepare::work::Gathered;

/// What is known of a portion of the input after its documents were cleaned.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Found {
    files: u64,
    formats: BTreeMap<String, u64>,
    bytes_read: u64,
    notes: Vec<String>,
    warnings: Vec<String>,
    gathered: Gathered,
    /// The counts of which `gathered` keeps only the sum.
    other_records: Vec<u64>,
}

impl Found {
    /// Describes what `reader`, which is at its end, has read from a number of files. `notes` are those about all inputs.
    pub fn new(files: usize, reader: &RawReader, mut gathered: Gathered, notes: Vec<String>) -> Self {
        gathered.counts.documents_cut += reader.splits();
        Self {
            files: files as u64,
            formats: reader.formats().iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            bytes_read: reader.bytes_read(),
            notes,
            warnings: reader.warnings().to_vec(),
            other_records: gathered.counts.other_records.to_vec(),
            gathered,
        }
    }

    /// Adds this to what is known of the portions before.
    pub fn add_to(mut self, summary: &mut Summary, gathered: &mut Gathered) {
        summary.inputs += self.files;
        summary.bytes_read += self.bytes_read;
        for (format, count) in self.formats {
            *summary.formats.entry(format).or_default() += count;
        }
        summary.notes.extend(self.notes);
        summary.warnings.extend(self.warnings);
        for (to, count) in self.gathered.counts.other_records.iter_mut().zip(self.other_records) {
            *to = count;
        }
        gathered.add(&self.gathered);
    }
}

/// Notes that the documents of a portion are cleaned, and kept with their hashes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cleaned {
    pub found: Found,
    /// The number of documents that were kept.
    pub documents: u64,
    /// The size of the file with their text.
    pub text_size: u64,
    /// The size of the file with their hashes.
    pub hashes_size: u64,
    /// The number of hashes in each partition, for each run of the file with the hashes.
    pub runs: Vec<Vec<u32>>,
    /// The files by which near-duplicates are found, if they are dropped.
    pub near: Option<KeySizes>,
}

/// Notes that the files of a portion are complete.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finished {
    pub shard: Shard,
    pub eval_shard: Option<Shard>,
    /// The number of duplicate documents that were dropped.
    pub duplicates: u64,
    /// The number of near-duplicates that were dropped.
    pub near_duplicates: u64,
    /// The beginnings of documents that the report about near-duplicates shows.
    pub shown: Vec<(Place, String)>,
    /// What is known of the portion, if there was no round before.
    pub found: Option<Found>,
}
