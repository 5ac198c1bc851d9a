//! Runs one task of `make-records`.

use std::ffi::OsStr;
use std::path::Path;

use super::{Job, MakeOptions};
use crate::files::marks::is_token_store;
use crate::instances::options::RngKind;
use crate::records::write::{self, Consecutive, TaskSummary};
use crate::tasks::Share;
use crate::tokens::line_encoder::check_tokenizer;
use crate::tokens::store::TokenStore;
use crate::tokens::tokenizer::Tokenizer;
use crate::{Error, Progress, Result};

/// What [`make_records_task`] did.
#[derive(Debug, Clone)]
pub struct TaskMade {
    /// What the task wrote, and what is there in all.
    pub task: TaskSummary,
    /// Number of invalid UTF-8 sequences that became U+FFFD in the token stores.
    pub replaced: u64,
    /// Wall-clock seconds of each stage.
    pub seconds: Vec<(&'static str, f64)>,
    /// Notes for the user, in sentences.
    pub notes: Vec<String>,
}

/// Makes those records of `inputs` that are the share of one task, as [`write::write_task`] does. `inputs` are one
/// complete token store, or several with weights.
///
/// # Errors
/// Those of [`super::make_records`] and [`write::write_task`]; [`Error::Conflict`] if the input is text, or if an option
/// cannot be used with tasks.
pub fn make_records_task(
    inputs: &[impl AsRef<OsStr>],
    output: &Path,
    tokenizer: &Tokenizer,
    options: &MakeOptions,
    share: Share,
    progress: &mut dyn Progress,
) -> Result<TaskMade> {
    let mut job = Job::new(output, tokenizer, options)?;
    write::refuse_overwrite(&options.records)?;
    refuse(options)?;
    if !options.weights.is_empty() {
        let stores: Vec<&Path> = inputs.iter().map(Path::new).collect();
        let (stores, identity) = job.open_stores(&stores)?;
        // Before the work that a refusal would waste.
        write::check_for_task(output, &options.records, &identity)?;
        let task = job.write_mixture(&stores, identity, progress, |mixture, output, options, origin, progress| {
            write::write_task(&Consecutive(mixture), output, options, origin, share, progress)
        })?;
        return Ok(job.done_task(task, stores.replaced()));
    }
    let directory = match inputs {
        [one] if is_token_store(Path::new(one))? => Path::new(one),
        _ => {
            let reason = "with `num_tasks`, the inputs must be token stores, so that every task reads the same; run \
                          tokenize first, and pass its `output_dir`";
            return Err(Error::conflict("num_tasks", reason));
        }
    };
    if job.reads_blocks() {
        let (store, identity) = job.block_store(directory)?;
        let task = job.write_blocks(&store, identity, progress, |source, output, options, origin, progress| {
            write::write_task(source, output, options, origin, share, progress)
        })?;
        let replaced = store.meta().replaced;
        return Ok(job.done_task(task, replaced));
    }
    let store = TokenStore::open(directory)?.copying();
    check_tokenizer(&store, tokenizer)?;
    let identity = job.store_identity(&store);
    // Before the work that a refusal would waste.
    write::check_for_task(output, &options.records, &identity)?;
    job.timed("verify", |_| store.verify())?;
    store.release();
    let task = job.write_with(&store, identity, progress, |plan, output, options, origin, progress| {
        write::write_task(&Consecutive(plan), output, options, origin, share, progress)
    })?;
    let replaced = store.meta().replaced;
    Ok(job.done_task(task, replaced))
}

impl Job<'_> {
    fn done_task(self, task: TaskSummary, replaced: u64) -> TaskMade {
        TaskMade { task, replaced, seconds: self.seconds, notes: self.notes }
    }
}

/// Refuses options that tasks cannot have.
fn refuse(options: &MakeOptions) -> Result<()> {
    if options.records.instances.rng == RngKind::Reference {
        let reason = "rng='reference' makes all records from one sequence of random numbers, which tasks cannot share; \
                      drop `num_tasks`, or pass rng='fast'";
        return Err(Error::conflict("rng", reason));
    }
    if options.keep_store {
        let reason = "with `num_tasks`, keep_store=True has no effect, because the input is a token store already; drop \
                      keep_store=True";
        return Err(Error::conflict("keep_store", reason));
    }
    Ok(())
}
