//! Measures records per second from files in the page cache, in batches of 256: `cargo run --release --example
//! record_rate DIRECTORY`.
//!
//! It prints the best of five epochs, on one thread and on two, in the order of the files, shuffled, and with new
//! masks.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use albert_fast_core::batches::batch::{Batched, Batches, Source};
use albert_fast_core::instances::mask_rows::{MaskOptions, RowMasker};
use albert_fast_core::records::source::{RecordOptions, RecordSource};
use albert_fast_core::tokens::vocab::Vocab;
use albert_fast_core::{Error, NoProgress, Result};

const EPOCHS: u64 = 5;
const BATCH: u64 = 256;

/// Returns the seconds per record of the fastest epoch.
fn best(source: &Arc<RecordSource>, threads: usize) -> Result<f64> {
    let batches = Batched::new(Arc::clone(source), BATCH as usize)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Error::threads(threads, &error))?;
    let per_epoch = source.epoch_len().div_ceil(BATCH);
    let mut best = f64::INFINITY;
    for epoch in 0..EPOCHS {
        let start = Instant::now();
        for k in epoch * per_epoch..(epoch + 1) * per_epoch {
            pool.install(|| batches.batch(k))?;
        }
        best = best.min(start.elapsed().as_secs_f64() / (per_epoch * BATCH) as f64);
    }
    Ok(best)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory] = &arguments[..] else {
        eprintln!("usage: record_rate DIRECTORY");
        return Ok(());
    };
    let pattern = Path::new(directory).join("*.tfrecord*").display().to_string();
    let paths = glob::glob(&pattern).map_err(|error| Error::input(error.to_string()))?;
    let paths: Vec<_> = paths.filter_map(std::result::Result::ok).collect();
    // Any vocabulary works if its special tokens are those of the tokenizer.
    let size = 1 << 20;
    let vocab = Vocab {
        size,
        pad: 0,
        unk: 1,
        cls: 2,
        sep: 3,
        mask: 4,
        word_start: vec![true; size as usize],
        word_end: Vec::new(),
        ordinary: (5..size).collect(),
    };
    let masker = RowMasker::new(&MaskOptions::default(), &vocab, &[])?;
    for (name, shuffle, remask) in
        [("in order", false, None), ("shuffled", true, None), ("shuffled, masked anew", true, Some(masker))]
    {
        let start = Instant::now();
        let options = RecordOptions { shuffle, remask, ..RecordOptions::default() };
        let source = RecordSource::open(&paths, options, &mut NoProgress)?;
        let opened = start.elapsed().as_secs_f64();
        println!("{name}: {} records, indexed in {opened:.3} s", source.epoch_len());
        let source = Arc::new(source);
        for threads in [1, 2] {
            let seconds = best(&source, threads)?;
            println!("  {threads} threads: {:.0} records/s, {:.2} us a record", 1.0 / seconds, seconds * 1e6);
        }
    }
    Ok(())
}
