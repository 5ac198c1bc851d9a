//! `Tokenizer` and `preprocess`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use albert_fast_core::Error;
use albert_fast_core::files::remote;
use albert_fast_core::tokens::tokenizer::beside::{self, Beside, Stated};
use albert_fast_core::tokens::tokenizer::{State, TextRules, Tokenizer, pieces};
use albert_fast_core::tokens::vocab::{Vocab, WordBoundary};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::{PyTypeError, PyUserWarning};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use rayon::prelude::*;

use crate::error::{internal, rule, to_python};
use crate::progress::aside;

/// The number of word caches that are kept between calls, of 19 MiB each.
const MAX_STATES: usize = 8;

/// The number of texts that a thread takes at a time.
const BATCH: usize = 256;

/// The bytes of text per thread that are copied from Python's strings at a time.
const PIECE_BYTES: usize = 1 << 18;

/// The number of texts that are taken from Python before the first of them is read.
const TEXTS_AHEAD: usize = 16;

/// A SentencePiece unigram or WordPiece tokenizer. It is immutable and safe to share between threads.
#[pyclass(name = "Tokenizer", module = "albert_fast._native", frozen)]
pub struct PyTokenizer {
    pub inner: Arc<Tokenizer>,
    /// The absolute path of the file, because the working directory may be another one when the tokenizer is pickled.
    absolute: PathBuf,
    states: Mutex<Vec<State>>,
    vocab: OnceLock<Vocab>,
}

impl PyTokenizer {
    pub fn new(inner: Tokenizer) -> Self {
        let absolute = std::path::absolute(inner.path()).unwrap_or_else(|_| inner.path().to_path_buf());
        Self { inner: Arc::new(inner), absolute, states: Mutex::new(Vec::new()), vocab: OnceLock::new() }
    }

    /// Returns `id` if it is in the vocabulary.
    fn checked(&self, id: i64) -> PyResult<u32> {
        let size = self.inner.pieces().len();
        u32::try_from(id)
            .ok()
            .filter(|&id| (id as usize) < size)
            .ok_or_else(|| rule("id", format!("an id of the vocabulary, from 0 to {}", size - 1), id))
    }

    /// Returns the ids of the special tokens. Fails if one is missing.
    fn special(&self) -> PyResult<&Vocab> {
        if let Some(vocab) = self.vocab.get() {
            return Ok(vocab);
        }
        let vocab = self.inner.vocab(WordBoundary::Unicode).map_err(to_python)?;
        Ok(self.vocab.get_or_init(|| vocab))
    }

    /// Runs `work` with one of the kept word caches.
    fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // Never waits for the lock: a process may be forked while another thread holds it.
        let kept = self.states.try_lock().ok().and_then(|mut states| states.pop());
        let mut state = kept.unwrap_or_else(|| self.inner.state(false));
        let result = work(&mut state);
        if let Ok(mut states) = self.states.try_lock()
            && states.len() < MAX_STATES
        {
            states.push(state);
        }
        result
    }

    /// Appends the ids of concatenated texts, and the end of each text's ids.
    fn encode_texts(&self, mut texts: Texts<'_>, ids: &mut Vec<u32>, offsets: &mut Vec<u64>) {
        self.with_state(|state| {
            ids.reserve(texts.bytes.len() / 4);
            for &end in texts.ends {
                let (text, rest) = texts.bytes.split_at(end - texts.start);
                self.inner.encode(state, text, ids);
                offsets.push(ids.len() as u64);
                (texts.bytes, texts.start) = (rest, end);
            }
        });
    }

    /// Like [`Self::encode_texts`], on the threads of `pool`.
    fn encode_texts_in(&self, pool: &rayon::ThreadPool, texts: Texts<'_>, ids: &mut Vec<u32>, offsets: &mut Vec<u64>) {
        let parts: Vec<(Vec<u32>, Vec<u64>)> = pool.install(|| {
            texts
                .ends
                .par_chunks(BATCH)
                .enumerate()
                .map(|(index, ends)| {
                    let start = if index == 0 { 0 } else { texts.ends[index * BATCH - 1] };
                    let bytes = &texts.bytes[start..ends.last().copied().unwrap_or(start)];
                    let (mut ids, mut offsets) = (Vec::new(), Vec::with_capacity(ends.len()));
                    self.encode_texts(Texts { bytes, start, ends }, &mut ids, &mut offsets);
                    (ids, offsets)
                })
                .collect()
        });
        for (more, ends) in parts {
            let base = ids.len() as u64;
            ids.extend_from_slice(&more);
            offsets.extend(ends.into_iter().map(|end| base + end));
        }
    }
}

/// Concatenated texts: the bytes from `start` on, and the end of each text.
#[derive(Clone, Copy)]
struct Texts<'a> {
    bytes: &'a str,
    start: usize,
    ends: &'a [usize],
}

/// Returns the file that a directory stands for, or an error for a tokenizer.json. See the functions of the same name
/// in albert_fast.tokenizers.files.
fn in_directory(py: Python<'_>, path: PathBuf, kind: &str) -> PyResult<PathBuf> {
    if !remote::is_remote(&path) && !path.is_dir() && path.extension().is_none_or(|suffix| suffix != "json") {
        return Ok(path);
    }
    let path = py.import("albert_fast.paths")?.getattr("as_path")?.call1((path,))?;
    py.import("albert_fast.tokenizers.files")?.getattr(kind)?.call1((path,))?.extract()
}

/// Runs `work`, which reads `path`. If that is remote, Ctrl-C ends the wait for its server.
fn reading<T: Send + 'static>(
    py: Python<'_>,
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    if !remote::is_remote(path) {
        return py.detach(|| work(path)).map_err(to_python);
    }
    let path = path.to_owned();
    aside(py, move |_| work(&path))
}

/// Returns what the files next to a model say, or nothing if the model cannot be read. Opening it reports that.
fn model_rules(path: &Path) -> Result<Beside, Error> {
    let content = if remote::is_remote(path) { remote::read_all(path)? } else { std::fs::read(path).ok() };
    content.map_or_else(|| Ok(Beside::default()), |content| beside::of_model(path, &content))
}

/// Returns the rules of the arguments, otherwise those of the files next to the tokenizer, otherwise the defaults.
fn chosen_rules(
    py: Python<'_>,
    path: &Path,
    lower_case: Option<bool>,
    keep_accents: Option<bool>,
    beside: &Beside,
) -> PyResult<TextRules> {
    let choose = |name: &'static str, given: Option<bool>, trained: Option<&Stated>, default: bool| match (
        given, trained,
    ) {
        (Some(given), Some(trained)) if given != trained.value => {
            let word = |value| if value { "True" } else { "False" };
            let rule = format!("{}, as {} says of {}", word(trained.value), trained.path.display(), path.display());
            let fix = "drop the argument, or pass follow_config=False to use other text rules than the tokenizer was \
                       trained with";
            Err(to_python(Error::rule_with_fix(name, rule, word(given), fix)))
        }
        _ => Ok(given.or(trained.map(|stated| stated.value)).unwrap_or(default)),
    };
    if let Some(of_another) = &beside.of_another {
        let message =
            format!("{} describes another model than {}; it is ignored", of_another.display(), path.display());
        let message = std::ffi::CString::new(message).map_err(internal)?;
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &message, 1)?;
    }
    Ok(TextRules {
        lower_case: choose("lower_case", lower_case, beside.lower_case.as_ref(), true)?,
        keep_accents: choose("keep_accents", keep_accents, beside.keep_accents.as_ref(), false)?,
    })
}

/// Returns what the files next to a tokenizer say about its text rules: (lower_case, keep_accents, of_another).
///
/// A rule is None if no file states it. of_another is a file that names another model, or None if there is none. Raises
/// AlbertFastError if a file cannot be used.
#[pyfunction]
pub fn text_rules_beside(
    py: Python<'_>,
    path: PathBuf,
    kind: &str,
) -> PyResult<(Option<bool>, Option<bool>, Option<PathBuf>)> {
    let beside = match kind {
        "unigram" => reading(py, &path, model_rules)?,
        "wordpiece" => reading(py, &path, beside::of_vocabulary)?,
        _ => return Err(rule("kind", "\"unigram\" or \"wordpiece\"", format!("{kind:?}"))),
    };
    let value = |stated: Option<Stated>| stated.map(|stated| stated.value);
    Ok((value(beside.lower_case), value(beside.keep_accents), beside.of_another))
}

/// Returns the word boundary of this name.
pub fn word_boundary(name: &str) -> PyResult<WordBoundary> {
    match name {
        "unicode" => Ok(WordBoundary::Unicode),
        "albert" => Ok(WordBoundary::Albert),
        _ => Err(rule("word_boundary", "\"unicode\" or \"albert\"", format!("{name:?}"))),
    }
}

#[pymethods]
impl PyTokenizer {
    /// Loads a SentencePiece unigram model, or the one in a directory.
    ///
    /// With text_rules="albert", ids are those of the reference's preprocess_text and encode_pieces, with the rules in
    /// spiece.config.json, tokenizer_config.json or tokenizer.json next to the model. With "none", they are those of
    /// sentencepiece.SentencePieceProcessor.encode, version 0.2.3. Raises AlbertFastError if the file does not exist;
    /// if the model is of another kind, truncated or corrupt; with "albert", if it lacks [CLS], [SEP], [MASK] or <pad>;
    /// or if arguments contradict these files (unless follow_config is False).
    #[staticmethod]
    #[pyo3(signature = (path, *, lower_case=None, keep_accents=None, text_rules="albert", follow_config=true))]
    fn from_file(
        py: Python<'_>,
        path: PathBuf,
        lower_case: Option<bool>,
        keep_accents: Option<bool>,
        text_rules: &str,
        follow_config: bool,
    ) -> PyResult<Self> {
        let path = in_directory(py, path, "model")?;
        let rules = match text_rules {
            "albert" => {
                let beside = if follow_config { reading(py, &path, model_rules)? } else { Beside::default() };
                Some(chosen_rules(py, &path, lower_case, keep_accents, &beside)?)
            }
            "none" => None,
            _ => return Err(rule("text_rules", "\"albert\" or \"none\"", format!("{text_rules:?}"))),
        };
        reading(py, &path, move |path| Tokenizer::from_model(path, rules)).map(Self::new)
    }

    /// Loads a BERT WordPiece vocabulary, or the one in a directory, with one entry per line (FullTokenizer without a
    /// SentencePiece model).
    ///
    /// The text rules are those of the tokenizer_config.json next to it. Raises AlbertFastError if the file does not
    /// exist or is not UTF-8; if an entry is on two lines; if [UNK], [CLS], [SEP], [MASK] or [PAD] is missing; or if
    /// arguments contradict tokenizer_config.json (unless follow_config is False).
    #[staticmethod]
    #[pyo3(signature = (path, *, lower_case=None, keep_accents=None, follow_config=true))]
    fn from_vocab_file(
        py: Python<'_>,
        path: PathBuf,
        lower_case: Option<bool>,
        keep_accents: Option<bool>,
        follow_config: bool,
    ) -> PyResult<Self> {
        let path = in_directory(py, path, "vocabulary")?;
        let beside = if follow_config { reading(py, &path, beside::of_vocabulary)? } else { Beside::default() };
        let rules = chosen_rules(py, &path, lower_case, keep_accents, &beside)?;
        reading(py, &path, move |path| Tokenizer::from_vocabulary(path, rules)).map(Self::new)
    }

    /// Returns the ids of a text. Raises UnicodeEncodeError if it contains a surrogate.
    fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.with_state(|state| self.inner.encode(state, text, &mut ids));
        ids
    }

    /// Returns the pieces of a text. A run of unknown characters is its surface; with WordPiece it is "[UNK]".
    fn encode_pieces(&self, text: &str) -> Vec<String> {
        self.with_state(|state| self.inner.encode_pieces(state, text))
    }

    /// Returns the ids of many texts, without the GIL: ids, uint32 of shape [tokens], and offsets, uint64 of shape
    /// [texts + 1].
    ///
    /// The ids of text i are ids[offsets[i]:offsets[i + 1]], the same as from encode. num_threads is the number of
    /// threads (None: one per core).
    #[pyo3(signature = (texts, *, num_threads=None))]
    #[expect(clippy::type_complexity, reason = "a pair of arrays")]
    fn encode_batch<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        num_threads: Option<i64>,
    ) -> PyResult<(Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u64>>)> {
        if texts.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("texts must be a sequence of str; it is one str"));
        }
        crate::arrays::load(py)?;
        let threads = crate::threads(num_threads)?;
        let pool = if threads == 1 { None } else { Some(crate::pool(threads)?) };
        let mut texts = texts.try_iter()?;
        let (mut ids, mut offsets) = (Vec::new(), vec![0]);
        // Texts are copied in batches, so that no Python object is borrowed while others may change it.
        let (mut bytes, mut ends) = (String::new(), Vec::new());
        // Takes a few texts before it reads the first, so that the CPU waits for the memory of all of them together.
        let mut ahead = Vec::with_capacity(TEXTS_AHEAD);
        loop {
            bytes.clear();
            ends.clear();
            while bytes.len() < threads * PIECE_BYTES {
                for text in texts.by_ref().take(TEXTS_AHEAD) {
                    ahead.push(text?);
                }
                if ahead.is_empty() {
                    break;
                }
                for text in ahead.drain(..) {
                    bytes.push_str(text.cast::<PyString>()?.to_str()?);
                    ends.push(bytes.len());
                }
            }
            if ends.is_empty() {
                break;
            }
            py.detach(|| {
                let texts = Texts { bytes: &bytes, start: 0, ends: &ends };
                match &pool {
                    None => self.encode_texts(texts, &mut ids, &mut offsets),
                    Some(pool) => self.encode_texts_in(pool, texts, &mut ids, &mut offsets),
                }
            });
        }
        Ok((ids.into_pyarray(py), offsets.into_pyarray(py)))
    }

    /// Returns the text of ids. Control symbols are skipped. Raises AlbertFastError if an id is outside the vocabulary.
    fn decode(&self, ids: Vec<i64>) -> PyResult<String> {
        let ids = ids.into_iter().map(|id| self.checked(id)).collect::<PyResult<Vec<u32>>>()?;
        self.inner.decode(&ids).map_err(to_python)
    }

    /// Applies the text rules, the step before tokenizing. With text_rules="none" nothing changes.
    fn preprocess(&self, text: &str) -> String {
        let mut out = String::new();
        match self.inner.text_rules() {
            Some(rules) => rules.preprocess(text, &mut out),
            None => out.push_str(text),
        }
        out
    }

    /// Returns the piece of an id. Raises AlbertFastError if the id is outside the vocabulary.
    fn id_to_piece(&self, id: i64) -> PyResult<String> {
        Ok(self.inner.pieces()[self.checked(id)? as usize].clone())
    }

    /// Returns the id of a piece, which may be a control symbol, or None if the vocabulary does not contain it.
    fn piece_to_id(&self, piece: &str) -> Option<u32> {
        self.inner.piece_to_id(piece)
    }

    /// Returns whether each piece begins a word, bool of shape [vocab_size]: under "unicode" or, as in the reference,
    /// "albert".
    #[pyo3(signature = (word_boundary="unicode"))]
    fn word_starts<'py>(&self, py: Python<'py>, word_boundary: &str) -> PyResult<Bound<'py, PyArray1<bool>>> {
        crate::arrays::load(py)?;
        Ok(self.inner.word_starts(self::word_boundary(word_boundary)?).into_pyarray(py))
    }

    /// Returns whether a word begins after each piece, bool of shape [vocab_size]. All are False unless ▁ ends words.
    #[pyo3(signature = (word_boundary="unicode"))]
    fn word_ends<'py>(&self, py: Python<'py>, word_boundary: &str) -> PyResult<Bound<'py, PyArray1<bool>>> {
        crate::arrays::load(py)?;
        let ends = self.inner.word_ends(self::word_boundary(word_boundary)?);
        Ok(ends.unwrap_or_else(|| vec![false; self.inner.pieces().len()]).into_pyarray(py))
    }

    /// Returns whether each token of some ids begins a word, bool of shape [len(ids)].
    #[pyo3(signature = (ids, word_boundary="unicode"))]
    fn word_starts_in<'py>(
        &self,
        py: Python<'py>,
        ids: Vec<i64>,
        word_boundary: &str,
    ) -> PyResult<Bound<'py, PyArray1<bool>>> {
        let ids = ids.into_iter().map(|id| self.checked(id)).collect::<PyResult<Vec<u32>>>()?;
        crate::arrays::load(py)?;
        Ok(self.inner.word_starts_in(&ids, self::word_boundary(word_boundary)?).into_pyarray(py))
    }

    /// The model, or the vocabulary's entries by line, as a file from which other programs get the same ids.
    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.file_bytes())
    }

    /// Whether ▁ marks the end of a word (treat_whitespace_as_suffix).
    #[getter]
    fn marks_word_ends(&self) -> bool {
        self.inner.marks_word_ends()
    }

    /// The number of pieces.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.inner.pieces().len()
    }

    /// The pieces in id order.
    #[getter]
    fn pieces(&self) -> Vec<String> {
        self.inner.pieces().to_vec()
    }

    /// "unigram" or "wordpiece".
    #[getter]
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    /// Returns what each piece from the id size on was split into when the model had only the pieces before it: a list
    /// of ids. Raises AlbertFastError if this is no SentencePiece model or size is out of range.
    fn split_of_added(&self, py: Python<'_>, size: usize) -> PyResult<Vec<Vec<u32>>> {
        py.detach(|| self.inner.split_of_added(size)).map_err(to_python)
    }

    /// SHA-256 (hex) of the file and the text rules. Tokenizers with equal digests give equal ids.
    #[getter]
    fn digest(&self) -> &str {
        self.inner.digest()
    }

    /// SHA-256 (hex) of the pieces in id order. With equal digests, an id means the same piece.
    #[getter]
    fn vocab_digest(&self) -> &str {
        self.inner.vocab_digest()
    }

    /// The name of the file as the user knows it: that of path, unless path is a token store's copy.
    #[getter]
    fn file_name(&self) -> &str {
        self.inner.name()
    }

    /// The model or vocabulary file.
    #[getter]
    fn path(&self) -> PathBuf {
        self.inner.path().to_path_buf()
    }

    /// Whether text is lowercased.
    #[getter]
    fn lower_case(&self) -> bool {
        self.inner.text_rules().is_some_and(|rules| rules.lower_case)
    }

    /// Whether accents are kept.
    #[getter]
    fn keep_accents(&self) -> bool {
        self.inner.text_rules().is_none_or(|rules| rules.keep_accents)
    }

    /// "albert" or "none".
    #[getter]
    fn text_rules(&self) -> &'static str {
        if self.inner.text_rules().is_some() { "albert" } else { "none" }
    }

    /// The id of <pad> or [PAD]. Raises AlbertFastError if there is none.
    #[getter]
    fn pad_id(&self) -> PyResult<u32> {
        Ok(self.special()?.pad)
    }

    /// The id of the unknown piece.
    #[getter]
    fn unk_id(&self) -> u32 {
        self.inner.unknown_id()
    }

    /// The id of [CLS]. Raises AlbertFastError if there is none.
    #[getter]
    fn cls_id(&self) -> PyResult<u32> {
        Ok(self.special()?.cls)
    }

    /// The id of [SEP]. Raises AlbertFastError if there is none.
    #[getter]
    fn sep_id(&self) -> PyResult<u32> {
        Ok(self.special()?.sep)
    }

    /// The id of [MASK]. Raises AlbertFastError if there is none.
    #[getter]
    fn mask_id(&self) -> PyResult<u32> {
        Ok(self.special()?.mask)
    }

    fn __repr__(&self) -> String {
        format!(
            "Tokenizer({:?}, kind={:?}, vocab_size={})",
            self.inner.path().display(),
            self.inner.kind(),
            self.inner.pieces().len()
        )
    }

    /// Pickles a tokenizer as the path of its file and what the file must be; see restore_tokenizer.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let restore = py.import("albert_fast._native")?.getattr("restore_tokenizer")?;
        let state = (
            self.absolute.clone(),
            self.kind(),
            self.text_rules(),
            self.lower_case(),
            self.keep_accents(),
            self.digest(),
        );
        Ok((restore, state.into_pyobject(py)?))
    }
}

/// Returns a line as the SentencePiece model gets it (the reference's preprocess_text).
///
/// Whitespace, as str.split defines it, becomes single spaces. Unless keep_accents is set, NFKD is applied and
/// combining marks are dropped. Unless lower_case is False, str.lower() comes last. Raises UnicodeEncodeError if the
/// text contains a surrogate.
#[pyfunction]
#[pyo3(signature = (text, *, lower_case=true, keep_accents=false))]
pub fn preprocess(text: &str, lower_case: bool, keep_accents: bool) -> String {
    let mut out = String::new();
    TextRules { lower_case, keep_accents }.preprocess(text, &mut out);
    out
}

/// Returns the pieces of the content of a SentencePiece model, in id order, with their scores.
#[pyfunction]
pub fn read_pieces(model: &[u8]) -> PyResult<Vec<(String, f32)>> {
    pieces(model).map_err(to_python)
}

/// Restores a tokenizer that was pickled. pickle.loads calls it.
///
/// Raises AlbertFastError if the file no longer exists, or its digest has changed.
#[pyfunction]
pub fn restore_tokenizer(
    py: Python<'_>,
    path: PathBuf,
    kind: &str,
    text_rules: &str,
    lower_case: bool,
    keep_accents: bool,
    digest: &str,
) -> PyResult<PyTokenizer> {
    let (lower_case, keep_accents) = (Some(lower_case), Some(keep_accents));
    let tokenizer = if kind == "wordpiece" {
        PyTokenizer::from_vocab_file(py, path, lower_case, keep_accents, false)?
    } else {
        PyTokenizer::from_file(py, path, lower_case, keep_accents, text_rules, false)?
    };
    if tokenizer.digest() != digest {
        let now = tokenizer.digest();
        let reason = format!(
            "the file has changed since the tokenizer was pickled (digest {digest} then, {now} now); load it again"
        );
        return Err(to_python(Error::tokenizer(tokenizer.inner.path(), reason)));
    }
    Ok(tokenizer)
}
