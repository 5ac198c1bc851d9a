//! Runs all of `make-records`: from a corpus or a token store to shards.

mod blocks;
mod mixture;
mod task;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_128;

pub use self::task::{TaskMade, make_records_task};
use super::write::{self, Found, InstanceSource, Origin, RecordsOptions};
use crate::files::inputs::{InputFile, InputRecord, refuse_output_in_input};
use crate::files::lock;
use crate::files::marks::is_token_store;
use crate::files::remote::{Address, is_remote};
use crate::files::scratch;
use crate::instances::instance::Instance;
use crate::instances::options::{RngKind, Shuffle};
use crate::instances::plan::{Plan, Scratch};
use crate::instances::reference;
use crate::tokens::corpus::{Corpus, expand_corpus};
use crate::tokens::documents::Documents;
use crate::tokens::line_encoder::{LineEncoder, check_tokenizer, store_digest};
use crate::tokens::store::TokenStore;
use crate::tokens::tokenize::{Encode, TokenizeOptions, read_documents, tokenize};
use crate::tokens::tokenizer::Tokenizer;
use crate::tokens::vocab::Vocab;
use crate::{Error, Progress, Result};

/// The most inputs that `dataset.json` lists one by one. If there are more, it keeps a digest.
const LISTED_INPUTS: usize = 64;

impl<D: Documents> InstanceSource for Plan<'_, D> {
    type Scratch = Scratch;

    fn len(&self) -> u64 {
        Plan::len(self)
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn fill(&self, position: u64, scratch: &mut Scratch, instance: &mut Instance) -> Result<()> {
        self.instance(position, scratch, instance)
    }

    fn release(&self) {
        self.documents().release();
    }
}

/// How a corpus becomes records, in addition to [`RecordsOptions`].
#[derive(Debug, Clone, Default)]
pub struct MakeOptions {
    /// The options of the records.
    pub records: RecordsOptions,
    /// How the corpus is read. Its `overwrite` is that of the records.
    pub text: TokenizeOptions,
    /// Keeps the intermediate token store next to the records.
    pub keep_store: bool,
    /// The weights of several token stores; empty if the input is text or one store.
    pub weights: Vec<f64>,
}

/// What [`make_records`] did.
#[derive(Debug, Clone)]
pub struct Made {
    /// What the records are.
    pub records: write::Summary,
    /// The token store, if it was given, or made and kept.
    pub store: Option<PathBuf>,
    /// Number of invalid UTF-8 sequences that became U+FFFD.
    pub replaced: u64,
    /// Wall-clock seconds of each stage.
    pub seconds: Vec<(&'static str, f64)>,
    /// Notes for the user, in sentences.
    pub notes: Vec<String>,
}

/// Makes the records of `inputs` in the directory `output`. `inputs` are a corpus as [`expand_corpus`] finds it, one
/// token store, or several with weights.
///
/// A mixture of stores has as many instances as `dupe_factor` passes over all of them. The weights say how many are from
/// each store. These are of its passes 0, 1, ..., and the last may not be whole.
///
/// After an interruption at any moment, the same call resumes and ends with the same bytes.
///
/// # Errors
/// Those of [`tokenize`], [`Plan::build`] and [`write::write_records`]; [`Error::Tokenizer`] if a token store has another
/// tokenizer; [`Error::Conflict`] in reference mode, which needs the corpus itself; [`Error::Rule`] if the weights are
/// not positive numbers, one for each store.
pub fn make_records(
    inputs: &[impl AsRef<OsStr>],
    output: &Path,
    tokenizer: &Tokenizer,
    options: &MakeOptions,
    progress: &mut dyn Progress,
) -> Result<Made> {
    let job = Job::new(output, tokenizer, options)?;
    if !options.weights.is_empty() {
        return job.with_mixture(inputs, progress);
    }
    let given = match inputs {
        [one] if is_token_store(Path::new(one))? => Some(Path::new(one)),
        _ => None,
    };
    match (given, options.records.instances.rng) {
        (Some(store), RngKind::Fast) => job.with_store(store, progress),
        (Some(store), RngKind::Reference) => Err(Error::conflict_at(
            "rng",
            store,
            "rng='reference' needs the corpus, not a token store, which does not keep unknown characters; pass the corpus, \
             or rng='fast'",
        )),
        (None, RngKind::Fast) => job.with_text(inputs, progress),
        (None, RngKind::Reference) => job.in_reference_order(inputs, progress),
    }
}

struct Job<'a> {
    output: &'a Path,
    encoder: LineEncoder<'a>,
    vocab: Vocab,
    options: &'a MakeOptions,
    seconds: Vec<(&'static str, f64)>,
    notes: Vec<String>,
}

impl<'a> Job<'a> {
    fn new(output: &'a Path, tokenizer: &'a Tokenizer, options: &'a MakeOptions) -> Result<Self> {
        let instances = &options.records.instances;
        instances.validate()?;
        if instances.rng == RngKind::Reference && instances.shuffle == Shuffle::Blocks {
            let reason = "rng='reference' shuffles all instances, as the reference does; drop shuffle='blocks', or pass \
                          rng='fast'";
            return Err(Error::conflict("shuffle", reason));
        }
        Ok(Self {
            output,
            encoder: LineEncoder { tokenizer, reference: instances.rng == RngKind::Reference },
            vocab: tokenizer.vocab(instances.word_boundary)?,
            options,
            seconds: Vec::new(),
            notes: write::masking_warning(instances).into_iter().collect(),
        })
    }

    fn identity(&self, key: &str, value: Value) -> Map<String, Value> {
        let mut identity = Map::new();
        identity.insert("tokenizer_digest".into(), self.encoder.digest().into());
        identity.insert("on_bad_utf8".into(), json!(self.options.text.on_bad_utf8));
        identity.insert(key.into(), value);
        identity
    }

    fn store_identity(&self, store: &TokenStore) -> Map<String, Value> {
        self.identity("token_store", store_digest(store.meta()).into())
    }

    fn timed<T>(&mut self, stage: &'static str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work(self);
        self.seconds.push((stage, start.elapsed().as_secs_f64()));
        result
    }

    fn done(self, records: write::Summary, store: Option<PathBuf>, replaced: u64) -> Made {
        Made { records, store, replaced, seconds: self.seconds, notes: self.notes }
    }

    /// Returns the records if the directory already holds all of them. It is an error if it holds other records.
    fn complete(&self, identity: &Map<String, Value>) -> Result<Option<write::Summary>> {
        Ok(match write::look(self.output, &self.options.records, identity)? {
            Found::Complete(dataset) => {
                write::tidy(self.output)?;
                Some(write::Summary { resumed_shards: dataset.shards.len(), dataset: *dataset, already_complete: true })
            }
            Found::Nothing | Found::Partial { .. } => None,
        })
    }

    fn with_store(mut self, directory: &Path, progress: &mut dyn Progress) -> Result<Made> {
        if self.reads_blocks() {
            let (records, replaced) = self.write_all_blocks(directory, None, progress)?;
            return Ok(self.done(records, Some(directory.to_path_buf()), replaced));
        }
        let store = TokenStore::open(directory)?.copying();
        check_tokenizer(&store, self.encoder.tokenizer)?;
        // The store may be a copy, or may have been on disk for long.
        self.timed("verify", |_| store.verify())?;
        store.release();
        let identity = self.store_identity(&store);
        let records = self.write(&store, identity, progress)?;
        let replaced = store.meta().replaced;
        Ok(self.done(records, Some(directory.to_path_buf()), replaced))
    }

    fn with_mixture(mut self, stores: &[impl AsRef<OsStr>], progress: &mut dyn Progress) -> Result<Made> {
        let stores: Vec<&Path> = stores.iter().map(Path::new).collect();
        let (stores, identity) = self.open_stores(&stores)?;
        if let Some(records) = self.complete(&identity)? {
            return Ok(self.done(records, None, stores.replaced()));
        }
        let records =
            self.write_mixture(&stores, identity, progress, |mixture, output, options, origin, progress| {
                write::write_records(mixture, output, options, origin, progress)
            })?;
        Ok(self.done(records, None, stores.replaced()))
    }

    fn with_text(mut self, inputs: &[impl AsRef<OsStr>], progress: &mut dyn Progress) -> Result<Made> {
        let files = expand_corpus(inputs)?.files;
        refuse_output_in_input(inputs, self.output)?;
        // A temporary store has a name of its own, so that a store that the user wants to keep is never removed.
        let passing = match Address::of(self.output)? {
            Some(output) => scratch::beside(&output)?.join("tokens"),
            None => self.output.join(".tokens"),
        };
        let kept = self.options.keep_store.then(|| self.output.join("tokens"));
        // A store is read from a local disk, so one that is kept in a bucket is copied there.
        let directory = kept.clone().filter(|_| !is_remote(self.output)).unwrap_or_else(|| passing.clone());
        let seekable = files.iter().all(InputFile::is_seekable);
        let mut identity = self.identity("input", input_identity(&files)?);
        // Two streams can only be compared by reading them.
        if seekable && let Some(records) = self.complete(&identity)? {
            self.tidy(&directory)?;
            let kept = kept.filter(|kept| TokenStore::is_store(kept));
            return Ok(self.done(records, kept, 0));
        }
        if kept.is_some() && passing.exists() && !directory.exists() {
            // An interrupted run that was not to keep its store left it here.
            std::fs::rename(&passing, &directory).map_err(|error| Error::io("cannot rename", &passing, error))?;
        }
        // Earlier content of a stream cannot be compared with the content that comes now. The digest of the new store
        // decides whether the records resume.
        let overwrite = self.options.records.overwrite || (!seekable && directory == passing);
        let text = TokenizeOptions { overwrite, ..self.options.text.clone() };
        let tokens = self.timed("tokenize", |job| tokenize(inputs, &job.encoder, &directory, &text, &mut *progress))?;
        self.notes.extend(tokens.notes);
        let store = TokenStore::open(&directory)?.copying();
        if let Some(kept) = kept.as_ref().filter(|kept| **kept != directory) {
            self.timed("copy", |_| store.copy_to(kept))?;
        }
        if !seekable {
            identity.insert("token_store".into(), store_digest(store.meta()).into());
        }
        let records = if self.reads_blocks() {
            self.write_all_blocks(&directory, Some(identity), progress).map(|(records, _)| records)
        } else {
            self.write(&store, identity, progress)
        };
        drop(store);
        // An interrupted run needs the store to resume. A run that is refused for what the store holds does not.
        if records.as_ref().err().is_none_or(is_refusal) {
            self.tidy(&directory)?;
        }
        let records = records?;
        Ok(self.done(records, kept, tokens.replaced))
    }

    fn tidy(&self, store: &Path) -> Result<()> {
        let is_kept = self.options.keep_store && !is_remote(self.output);
        if is_kept || !store.exists() {
            return Ok(());
        }
        // A second run with --overwrite may be filling it.
        let Ok(_lock) = lock::lock(store) else { return Ok(()) };
        TokenStore::remove(store)?;
        std::fs::remove_dir(store).map_err(|error| Error::io("cannot remove", store, error))?;
        scratch::tidy(self.output);
        Ok(())
    }

    fn write(
        &mut self,
        store: &TokenStore,
        identity: Map<String, Value>,
        progress: &mut dyn Progress,
    ) -> Result<write::Summary> {
        self.write_with(store, identity, progress, |plan, output, options, origin, progress| {
            write::write_records(plan, output, options, origin, progress)
        })
    }

    fn write_with<T>(
        &mut self,
        store: &TokenStore,
        identity: Map<String, Value>,
        progress: &mut dyn Progress,
        write: impl FnOnce(&Plan<'_, TokenStore>, &Path, &RecordsOptions, &Origin, &mut dyn Progress) -> Result<T>,
    ) -> Result<T> {
        let options = &self.options.records;
        let vocab = self.vocab.clone();
        let instances = &options.instances;
        let plan =
            self.timed("plan", |_| Plan::build(store, &vocab, instances, 0..instances.dupe_factor, &mut *progress))?;
        store.release();
        let origin = Origin {
            identity,
            tokenizer: self.encoder.description(),
            documents: store.num_documents(),
            short_documents: plan.short_documents(),
            drawn: Vec::new(),
        };
        let output = self.output;
        self.timed("records", |_| write(&plan, output, options, &origin, &mut *progress))
    }

    fn in_reference_order(mut self, inputs: &[impl AsRef<OsStr>], progress: &mut dyn Progress) -> Result<Made> {
        let Corpus { files, notes } = expand_corpus(inputs)?;
        self.notes.extend(notes);
        refuse_output_in_input(inputs, self.output)?;
        let mut identity = self.identity("input", input_identity(&files)?);
        let seekable = files.iter().all(InputFile::is_seekable);
        if seekable && let Some(records) = self.complete(&identity)? {
            return Ok(self.done(records, None, 0));
        }
        let text = TokenizeOptions { keep_bom: true, join_files: true, ..self.options.text.clone() };
        let (mut documents, replaced) =
            self.timed("tokenize", |job| read_documents(inputs, &job.encoder, &text, &mut *progress))?;
        if !seekable {
            identity.insert("documents".into(), documents.digest().into());
        }
        let options = &self.options.records;
        let vocab = self.vocab.clone();
        let instances = self
            .timed("instances", |_| reference::instances(&mut documents, &vocab, &options.instances, &mut *progress))?;
        let wrong = instances.iter().filter(|instance| instance.mislabeled).count();
        if wrong > 0 {
            self.notes.push(format!(
                "{wrong} of {} instances have label 1 although B is from A's document, follows A or repeats it: as in the reference; \
                 rng='fast' makes no such instances",
                instances.len()
            ));
        }
        let origin = Origin {
            identity,
            tokenizer: self.encoder.description(),
            documents: documents.num_documents(),
            short_documents: 0,
            drawn: Vec::new(),
        };
        let output = self.output;
        let records =
            self.timed("records", |_| write::write_reference(&instances, output, options, &origin, &mut *progress))?;
        Ok(self.done(records, None, replaced))
    }
}

/// Whether an error refuses options or data, so that repeating the call cannot succeed.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Input { .. } | Error::Rule { .. } | Error::Conflict { .. } | Error::Exists { .. })
}

fn input_identity(files: &[InputFile]) -> Result<Value> {
    let records = files.iter().map(InputFile::record).collect::<Result<Vec<InputRecord>>>()?;
    if records.len() <= LISTED_INPUTS {
        return Ok(json!(records));
    }
    let digest = xxh3_128(json!(records).to_string().as_bytes());
    let bytes: u64 = records.iter().filter_map(|record| record.bytes).sum();
    Ok(json!({ "files": records.len(), "bytes": bytes, "xxh3_128_of_the_list": format!("{digest:032x}") }))
}
