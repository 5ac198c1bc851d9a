//! Tokenizes the portions of one task, while others may tokenize theirs into the same directory.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

use super::finish::{complete, complete_store, tidy};
use super::markers::{self, Begun, Header, Marker, Markers};
use super::sinks::StoreSink;
use super::{Encode, Job, Summary, TokenizeOptions, blank_lines, block_reader, summary, wave};
use crate::files::atomic;
use crate::files::portions::with_line;
use crate::files::resume::Replace;
use crate::tasks::{Share, TaskState};
use crate::tokens::corpus::check_all;
use crate::tokens::corpus::portions::{PortionReader, Wanted};
use crate::tokens::store::{JOURNAL_FILE, StoreMeta, StoreWriter, TokenStore};
use crate::{Error, Progress, Result};

/// How often a task begins again if others change what it relies on at the same time.
const TRIES: usize = 5;

/// What [`tokenize_task`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSummary {
    /// The numbers of the task's portions of the input, the number of all portions, and how many of these are complete.
    pub state: TaskState,
    /// What is in the task's portions. If the store is complete, what is in the store.
    pub tokenized: Summary,
    /// Whether all portions are complete, and so is the store.
    pub is_complete: bool,
}

/// Tokenizes those portions of `inputs` that are the share of one task into the store that [`super::tokenize`] makes.
/// Tasks may run at the same time, on several machines, in any order, and more than once. Their number may change between
/// runs.
///
/// The task does not lock the directory, and removes nothing that another one may need. If all portions are complete at
/// the end, it completes the store as [`super::finish()`] does.
///
/// # Errors
/// Those of [`super::tokenize`]; [`Error::Conflict`] if an input can be read only once, or if an option cannot be used
/// with tasks.
pub fn tokenize_task<E: Encode>(
    inputs: &[impl AsRef<OsStr>],
    encoder: &E,
    output: &Path,
    options: &TokenizeOptions,
    share: Share,
    progress: &mut dyn Progress,
) -> Result<TaskSummary> {
    refuse(options)?;
    let job = Job::new(inputs, encoder, output, options)?;
    if let Some(stream) = job.files.iter().find(|it| !it.is_seekable()) {
        let reason = format!(
            "with `num_tasks`, every input must be a file that all tasks can read, but {} can be read only once",
            stream.path.display()
        );
        return Err(Error::conflict("num_tasks", reason));
    }
    let range = share.range(job.portions.len() as u64);
    if !options.any_text {
        // Other tasks check the other files.
        check_all(&job.files[job.portions.files(range.start as usize..range.end as usize)])?;
    }
    Task { job: &job, encoder, output, options, range, replace: Replace::Remove }.run(progress)
}

fn refuse(options: &TokenizeOptions) -> Result<()> {
    if options.overwrite {
        let reason = "with `num_tasks`, overwrite=True is not possible, because each task would remove the parts of the \
                      others; remove the directory before the first task, or pass another `output_dir`";
        return Err(Error::conflict("overwrite", reason));
    }
    if options.join_files {
        let reason = "join_files=True makes documents that continue in the next file, which tasks cannot share; drop \
                      `num_tasks`";
        return Err(Error::conflict("join_files", reason));
    }
    Ok(())
}

/// A task.
pub(super) struct Task<'a, E> {
    pub job: &'a Job,
    pub encoder: &'a E,
    pub output: &'a Path,
    pub options: &'a TokenizeOptions,
    pub range: Range<u64>,
    /// How what is there can be replaced.
    pub replace: Replace,
}

enum Outlook {
    Complete(Box<StoreMeta>),
    /// The header, and the portions of the task that are complete, or `None`.
    Partial(Box<Header>, Vec<Option<Marker>>),
    /// Another task has changed the directory meanwhile.
    Changed,
}

impl<E: Encode> Task<'_, E> {
    pub fn run(&self, progress: &mut dyn Progress) -> Result<TaskSummary> {
        let mut resumed = None;
        for _ in 0..TRIES {
            let (header, done) = match self.begin()? {
                Outlook::Complete(meta) => return Ok(self.completed(&meta, resumed)),
                Outlook::Partial(header, done) => (header, done),
                Outlook::Changed => continue,
            };
            resumed.get_or_insert_with(|| done.iter().flatten().map(|it| it.parts.len() as u64).sum());
            if let Err(error) = self.make(&done, progress) {
                // If another task has done the work too, and completed the store, it does not matter what went wrong.
                if matches!(error, Error::Interrupted(_)) || !TokenStore::is_store(self.output) {
                    return Err(error);
                }
            }
            match self.end(&header)? {
                Outlook::Complete(meta) => return Ok(self.completed(&meta, resumed)),
                Outlook::Partial(_, all) => return Ok(self.partly(&all, resumed.unwrap_or_default())),
                Outlook::Changed => {}
            }
        }
        let reason =
            "another task makes the same portions again and again; wait for it, and run the same command again";
        Err(Error::data(self.output, reason))
    }

    fn begin(&self) -> Result<Outlook> {
        let Job { journal, info, portions, .. } = self.job;
        if TokenStore::is_store(self.output) {
            let meta = complete_store(self.output)?;
            journal.check(self.output, &meta, true, self.replace)?;
            tidy(self.output)?;
            return Ok(Outlook::Complete(Box::new(meta)));
        }
        let header = match markers::begun(self.output)? {
            Some(Begun::Tasks(header)) => {
                journal.check(self.output, &header.store, false, self.replace)?;
                header
            }
            Some(Begun::Alone) => {
                let reason = "begun without `num_tasks`; run the same command again without `num_tasks` and `task_id` to \
                              resume, or pass another `output_dir`";
                return Err(Error::exists(self.output, reason));
            }
            None => {
                let store = info.describe(journal.inputs.clone(), journal.settings.clone());
                let header = Box::new(Header { portions: portions.len() as u64, store });
                atomic::create_directory(self.output)?;
                if !atomic::write_json_new(&self.output.join(JOURNAL_FILE), &header)? {
                    return Ok(Outlook::Changed);
                }
                header
            }
        };
        if TokenStore::is_store(self.output) {
            // Others have finished, and have removed the header, possibly before this task began another one.
            tidy(self.output)?;
            return Ok(Outlook::Changed);
        }
        if let Some((name, bytes)) = &info.file {
            // All tasks have the same tokenizer, so the file that is there is the same.
            atomic::write_new(&self.output.join(name), bytes)?;
        }
        let done = markers::markers(self.output, &header, self.range.clone())?;
        Ok(Outlook::Partial(header, done))
    }

    /// Makes those portions of the task that are not done.
    fn make(&self, done: &[Option<Marker>], progress: &mut dyn Progress) -> Result<()> {
        let Job { portions, files, info, .. } = self.job;
        let (first, end) = (self.range.start as usize, self.range.end as usize);
        let mut portion = first;
        while portion < end {
            if done[portion - first].is_some() {
                portion += 1;
                continue;
            }
            let missing = done[portion - first..].iter().take_while(|it| it.is_none()).count();
            let run = portions.run(portion..portion + missing);
            portion = run.end;
            // Files after those of the run must not be opened.
            let own = &files[..portions.files(run.clone()).end];
            let counted_from = portions.counted_from(run.start);
            let writer = StoreWriter::new(self.output, info.clone(), self.options.part_tokens, Vec::new())?;
            let mut sink = StoreSink::new(writer, Markers::new(self.output, run.start), run.start, 0);
            let wanted = Wanted {
                portions,
                range: run,
                position: None,
                progress: first..end,
                block_bytes: self.options.block_bytes,
            };
            let text = block_reader(own, self.options, progress);
            let mut reader = PortionReader::new(text, blank_lines(self.encoder), wanted);
            let result = wave::run(&mut reader, own, self.encoder, self.options, &mut sink, progress);
            // The error that ended the run is the one worth reporting.
            let settled = sink.settle();
            result.map_err(|error| match (error, counted_from) {
                (Error::Interrupted(_), _) => Error::Interrupted(
                    "the portions that are complete are kept; run the same command again to resume".into(),
                ),
                (error, Some((file, from))) => with_line(error, &files[file], from),
                (error, None) => error,
            })?;
            settled?;
        }
        Ok(())
    }

    /// Looks at what is there after the task's portions are made. Completes the store if nothing is missing.
    fn end(&self, header: &Header) -> Result<Outlook> {
        let is_complete = || TokenStore::is_store(self.output);
        if is_complete() {
            return Ok(Outlook::Changed);
        }
        if markers::count(self.output)? < header.portions {
            let own = markers::markers(self.output, header, self.range.clone())?;
            let changed = is_complete() || own.contains(&None);
            return Ok(if changed { Outlook::Changed } else { Outlook::Partial(Box::new(header.clone()), own) });
        }
        let all = markers::markers(self.output, header, 0..header.portions)?;
        let own = &all[self.range.start as usize..self.range.end as usize];
        if !all.contains(&None) {
            let meta = complete(self.output, header, all.into_iter().flatten().collect())?;
            return Ok(Outlook::Complete(Box::new(meta)));
        }
        let changed = is_complete() || own.contains(&None);
        Ok(if changed { Outlook::Changed } else { Outlook::Partial(Box::new(header.clone()), own.to_vec()) })
    }

    fn state(&self, complete: u64) -> TaskState {
        let total = self.job.portions.len() as u64;
        TaskState { range: self.range.clone(), total, complete, round: 1, rounds: 1 }
    }

    fn completed(&self, meta: &StoreMeta, resumed: Option<u64>) -> TaskSummary {
        let tokenized = Summary {
            already_complete: resumed.is_none(),
            resumed_parts: resumed.unwrap_or_default(),
            notes: self.job.notes.clone(),
            ..summary(meta, self.job.files.len())
        };
        TaskSummary { state: self.state(self.job.portions.len() as u64), tokenized, is_complete: true }
    }

    fn partly(&self, own: &[Option<Marker>], resumed_parts: u64) -> TaskSummary {
        let Job { info, files, notes, .. } = self.job;
        let parts = own.iter().flatten().flat_map(|it| &it.parts).map(|it| it.part.clone()).collect();
        let replaced = own.iter().flatten().map(|it| it.replaced).sum();
        let meta = info.describe(Vec::new(), serde_json::Value::Null).with_parts(parts, replaced);
        let tokenized = Summary { resumed_parts, notes: notes.clone(), ..summary(&meta, files.len()) };
        // If the number cannot be read now, it does not matter.
        let complete = markers::count(self.output).unwrap_or_default().min(self.job.portions.len() as u64);
        TaskSummary { state: self.state(complete), tokenized, is_complete: false }
    }
}
