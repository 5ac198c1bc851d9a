//! Makes instances in the reference's order of everything: one generator, one thread, the corpus in memory.

use super::instance::{Chunk, Instance, Readings, assemble, check_documents, gather, gives_instance, target_length};
use super::mask::{Masker, Scratch};
use super::options::InstanceOptions;
use super::rng::{ReferenceRng, Rng};
use crate::tokens::documents::{Documents, MemoryDocuments};
use crate::tokens::vocab::Vocab;
use crate::{Error, Progress, Result};

/// The number of documents between two progress reports.
const REPORT_EVERY: u64 = 64;

/// Returns all instances of all passes, masked and shuffled. They are in the order of the reference's
/// `create_training_instances`, with both its generators seeded with `options.random_seed`. `documents` end up in the
/// order in which it shuffles them.
///
/// Instance `i` belongs in output file `i` modulo the number of files. Fails if the options are out of range, or if B
/// must come from another document and there is only one.
pub fn instances(
    documents: &mut MemoryDocuments,
    vocab: &Vocab,
    options: &InstanceOptions,
    progress: &mut dyn Progress,
) -> Result<Vec<Instance>> {
    let masker = Masker::new(options, vocab)?;
    check_documents(options, documents.num_documents())?;
    let mut rng = ReferenceRng::new(options.random_seed, options.random_seed);
    let mut order = numbers(documents.num_documents(), "documents")?;
    rng.shuffle(&mut order);
    documents.reorder(&order);

    let mut instances = Vec::new();
    let (mut scratch, mut readings) = (Scratch::default(), Readings::default());
    let total = documents.num_documents() * options.dupe_factor;
    for done in 0..total {
        if done % REPORT_EVERY == 0 && !progress.report("instances", "documents", done, total) {
            return Err(Error::Interrupted("no instances were saved, so they will be made again".into()));
        }
        let number = done % documents.num_documents();
        let document = documents.document(number).outline;
        let target = target_length(options, &mut rng);
        let mut segment = 0;
        while segment < document.segments() {
            let segments = segment..gather(&document, segment, target);
            segment = segments.end;
            if gives_instance(&document, &segments, options) {
                let chunk = Chunk { document: number, segments, target };
                let mut instance = Instance::default();
                segment = assemble(documents, vocab, options, &chunk, &mut rng, &mut readings, &mut instance)?;
                masker.mask(&mut instance, &mut rng, &mut scratch);
                instances.push(instance);
            }
        }
    }
    progress.report("instances", "documents", total, total);

    let mut order = numbers(instances.len() as u64, "instances")?;
    rng.shuffle(&mut order);
    Ok(order.iter().map(|&i| std::mem::take(&mut instances[i as usize])).collect())
}

/// Returns `0..count`, to be shuffled.
fn numbers(count: u64, what: &str) -> Result<Vec<u32>> {
    let end = u32::try_from(count).map_err(|_| {
        let reason = format!("rng='reference' takes at most {} {what}, got {count}; use rng='fast'", u32::MAX);
        Error::conflict("rng", reason)
    })?;
    Ok((0..end).collect())
}
