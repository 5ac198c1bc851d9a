//! `Masker`: arrays in, arrays out, with no Python code in between.

use albert_fast_core::Error;
use albert_fast_core::instances::mask_rows::{
    MAX_WIDTH, MaskOptions, OutsideVocabulary, Predictions, RowContext, RowError, RowMasker, TASK_TOKENS,
};
use albert_fast_core::tokens::vocab::Vocab;
use numpy::ndarray::{Array2, ArrayView2, Axis, Dimension};
use numpy::{
    Element, IntoPyArray, Ix1, Ix2, IxDyn, PyArray, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray,
    PyReadonlyArray1, PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods, dtype,
};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::ArrayOf;
use crate::error::{internal, rule, rule_at, to_python};
use crate::tokenizer::{PyTokenizer, word_boundary};

/// Describes `value`, as an error shows what it got.
fn describe(value: &Bound<'_, PyAny>) -> String {
    match value.cast::<PyUntypedArray>() {
        Ok(array) => format!("{} of shape {:?}", array.dtype(), array.shape()),
        Err(_) => value.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string()),
    }
}

/// Returns the argument `name` as an array of this type and rank, in any memory layout, or `None` if its type or rank
/// differs.
fn array<'py, T: Element, D: Dimension>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<PyReadonlyArray<'py, T, D>>> {
    let Ok(array) = value.cast::<PyArray<T, D>>() else {
        return Ok(None);
    };
    let borrowed = if value.getattr("flags")?.getattr("aligned")?.is_truthy()? {
        array.try_readonly()
    } else {
        // For example, a field of packed records, which only NumPy can read.
        value.call_method0("copy")?.cast::<PyArray<T, D>>()?.try_readonly()
    };
    borrowed
        .map(Some)
        .map_err(|error| rule(name, "an array that nothing else writes to", format!("one in use ({error})")))
}

/// Like [`array`], for booleans, whose bytes may hold any value.
fn bytes<'py, D: Dimension>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<PyReadonlyArray<'py, u8, D>>> {
    match value.cast::<PyUntypedArray>() {
        Ok(of) if of.dtype().is_equiv_to(&dtype::<bool>(value.py())) => {
            array(name, &value.call_method1("view", ("u1",))?)
        }
        _ => Ok(None),
    }
}

/// An attention mask.
enum Mask<'py> {
    Bytes(PyReadonlyArray2<'py, u8>),
    Ints(PyReadonlyArray2<'py, i32>),
    Longs(PyReadonlyArray2<'py, i64>),
}

/// The content of an attention mask, which threads can share.
enum MaskView<'a> {
    Bytes(ArrayView2<'a, u8>),
    Ints(ArrayView2<'a, i32>),
    Longs(ArrayView2<'a, i64>),
}

impl<'py> Mask<'py> {
    fn new(value: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Some(mask) = bytes("attention_mask", value)? {
            Ok(Self::Bytes(mask))
        } else if let Some(mask) = array::<i32, _>("attention_mask", value)? {
            Ok(Self::Ints(mask))
        } else if let Some(mask) = array::<i64, _>("attention_mask", value)? {
            Ok(Self::Longs(mask))
        } else {
            let wanted = "a bool, int32 or int64 array of shape [rows, tokens]";
            Err(rule("attention_mask", wanted, describe(value)))
        }
    }

    fn view(&self) -> MaskView<'_> {
        match self {
            Self::Bytes(mask) => MaskView::Bytes(mask.as_array()),
            Self::Ints(mask) => MaskView::Ints(mask.as_array()),
            Self::Longs(mask) => MaskView::Longs(mask.as_array()),
        }
    }
}

impl MaskView<'_> {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Bytes(mask) => mask.shape(),
            Self::Ints(mask) => mask.shape(),
            Self::Longs(mask) => mask.shape(),
        }
    }

    /// Copies a row. Returns the column and the value if one is neither 0 nor 1.
    fn copy_row(&self, row: usize, out: &mut Vec<u8>) -> Result<(), (usize, i64)> {
        fn copy<T: Copy + Into<i64>>(
            mask: &ArrayView2<'_, T>,
            row: usize,
            out: &mut Vec<u8>,
        ) -> Result<(), (usize, i64)> {
            out.clear();
            let mut bad = None;
            out.extend(mask.row(row).iter().enumerate().map(|(column, &value)| {
                let value = value.into();
                if value & !1 != 0 {
                    bad = bad.or(Some((column, value)));
                }
                value as u8
            }));
            bad.map_or(Ok(()), Err)
        }
        match self {
            Self::Bytes(mask) => {
                out.clear();
                out.extend(mask.row(row));
                Ok(())
            }
            Self::Ints(mask) => copy(mask, row, out),
            Self::Longs(mask) => copy(mask, row, out),
        }
    }
}

/// Returns the lengths of rows of `width` tokens.
fn lengths(value: &Bound<'_, PyAny>, rows: usize, width: usize) -> PyResult<Vec<usize>> {
    let lengths: Vec<i64> = if let Some(lengths) = array::<i32, Ix1>("lengths", value)? {
        lengths.as_array().iter().map(|&length| length.into()).collect()
    } else if let Some(lengths) = array::<i64, Ix1>("lengths", value)? {
        lengths.as_array().iter().copied().collect()
    } else {
        return Err(rule("lengths", "an int32 or int64 array of shape [rows]", describe(value)));
    };
    if lengths.len() != rows {
        return Err(rule("lengths", format!("one number for each of the {rows} rows"), lengths.len()));
    }
    if let Some(row) = lengths.iter().position(|&length| !(0..=width as i64).contains(&length)) {
        let wanted = format!("from 0 to {width}, the length of the rows");
        return Err(rule_at("lengths", wanted, lengths[row], format!("[{row}]")));
    }
    Ok(lengths.into_iter().map(|length| length as usize).collect())
}

/// The arguments that may accompany the ids of a batch, and how to mask them.
struct Call<'a, 'py> {
    lengths: Option<&'a Bound<'py, PyAny>>,
    attention_mask: Option<&'a Bound<'py, PyAny>>,
    word_starts: Option<PyReadonlyArray<'py, u8, IxDyn>>,
    key: (u64, u64),
    labels: bool,
    num_threads: Option<i64>,
}

/// Returns `length` zeros, or `MemoryError` if there is not enough memory.
fn zeros<T: bytemuck::Zeroable>(length: Option<usize>) -> PyResult<Vec<T>> {
    length
        .and_then(|length| bytemuck::allocation::try_zeroed_vec(length).ok())
        .ok_or_else(|| PyMemoryError::new_err("no memory for the masked rows; pass fewer rows at a time"))
}

/// Masks rows of ids; see albert_fast.Masker. It is immutable and safe to share between threads.
#[pyclass(name = "Masker", module = "albert_fast._native", frozen)]
pub struct PyMasker {
    pub inner: RowMasker,
}

impl PyMasker {
    fn new(options_json: &str, vocab: &Vocab, special_ids: &[u32]) -> PyResult<Self> {
        let options: MaskOptions =
            serde_json::from_str(options_json).map_err(|error| internal(format!("options: {error}")))?;
        Ok(Self { inner: RowMasker::new(&options, vocab, special_ids).map_err(to_python)? })
    }

    /// Returns the masked rows as a dict of arrays, with one dimension less for a `single` row.
    fn masked<'py>(
        &self,
        py: Python<'py>,
        ids: ArrayView2<'_, i32>,
        single: bool,
        call: &Call<'_, 'py>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (rows, width) = ids.dim();
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(rule("input_ids", format!("rows of 1 to {MAX_WIDTH} tokens"), format!("rows of {width}")));
        }
        if call.key.1.checked_add(rows as u64).is_none() {
            let name = if single { "row" } else { "first_row" };
            return Err(rule(
                name,
                format!("at most 2**64 - {}, so that rows are numbered below 2**64", rows + 1),
                call.key.1,
            ));
        }
        let lengths = call.lengths.map(|value| lengths(value, rows, width)).transpose()?;
        let mask = call.attention_mask.map(Mask::new).transpose()?;
        let mask = mask.as_ref().map(Mask::view);
        if let Some(mask) = &mask
            && mask.shape() != [rows, width]
        {
            let wanted = format!("of the shape of input_ids, [{rows}, {width}]");
            return Err(rule("attention_mask", wanted, format!("shape {:?}", mask.shape())));
        }
        let starts = call.word_starts.as_ref().map(PyReadonlyArray::as_array);
        let starts = match &starts {
            None => None,
            Some(starts) => {
                let wide = if single { starts.view().insert_axis(Axis(0)) } else { starts.view() };
                let shape = starts.shape().to_vec();
                Some(wide.into_dimensionality::<Ix2>().ok().filter(|wide| wide.dim() == ids.dim()).ok_or_else(
                    || {
                        let wanted = if single { format!("[{width}]") } else { format!("[{rows}, {width}]") };
                        rule("word_starts", format!("of the shape of input_ids, {wanted}"), format!("shape {shape:?}"))
                    },
                )?)
            }
        };

        let predictions = self.inner.predictions(width);
        let (tokens, slots) = (rows.checked_mul(width), rows.checked_mul(predictions));
        let (mut input_ids, mut positions, mut masked_ids) = (zeros(tokens)?, zeros(slots)?, zeros(slots)?);
        let mut weights = zeros(slots)?;
        let mut labels = if call.labels { Some(zeros(tokens)?) } else { None };
        let threads = crate::threads(call.num_threads)?;
        let pool =
            if threads > 1 && input_ids.len() > 2 * TASK_TOKENS { Some(crate::shared_pool(threads)?) } else { None };
        let read = |row: usize, out: &mut [i32], context: &mut RowContext| {
            for (out, &id) in out.iter_mut().zip(ids.row(row)) {
                *out = id;
            }
            context.length = lengths.as_ref().map_or(width, |lengths| lengths[row]);
            context.pads_are_padding = lengths.is_none();
            if let Some(starts) = &starts {
                context.word_starts.clear();
                context.word_starts.extend(starts.row(row));
            }
            mask.as_ref().map_or(Ok(()), |mask| mask.copy_row(row, &mut context.attention_mask))
        };
        let out = Predictions {
            positions: &mut positions,
            ids: &mut masked_ids,
            weights: &mut weights,
            labels: labels.as_deref_mut(),
        };
        let (inner, key) = (&self.inner, call.key);
        py.detach(|| inner.mask_rows((&mut input_ids, width), key, out, pool.as_deref(), read)).map_err(
            |(row, error)| {
                let place = |column| if single { format!("[{column}]") } else { format!("[{row}, {column}]") };
                match error {
                    RowError::Id(OutsideVocabulary { column, id }) => {
                        let wanted = format!("from 0 to {}, the ids of the vocabulary", inner.vocab_size() - 1);
                        rule_at("input_ids", wanted, id.into(), place(column))
                    }
                    RowError::Read((column, value)) => rule_at("attention_mask", "0 or 1", value, place(column)),
                }
            },
        )?;

        let shape = |width| if single { (1, width) } else { (rows, width) };
        let result = PyDict::new(py);
        result.set_item("input_ids", shaped(py, input_ids, shape(width), single)?)?;
        result.set_item("masked_lm_positions", shaped(py, positions, shape(predictions), single)?)?;
        result.set_item("masked_lm_ids", shaped(py, masked_ids, shape(predictions), single)?)?;
        result.set_item("masked_lm_weights", shaped(py, weights, shape(predictions), single)?)?;
        if let Some(labels) = labels {
            result.set_item("labels", shaped(py, labels, shape(width), single)?)?;
        }
        Ok(result)
    }
}

/// Returns `values` as an array that takes over their memory.
fn shaped<T: Element>(
    py: Python<'_>,
    values: Vec<T>,
    shape: (usize, usize),
    single: bool,
) -> PyResult<Bound<'_, PyAny>> {
    if single {
        return Ok(values.into_pyarray(py).into_any());
    }
    let array = Array2::from_shape_vec(shape, values).map_err(internal)?;
    Ok(array.into_pyarray(py).into_any())
}

/// Returns the word starts with `rank` dimensions.
fn word_starts<'py>(
    value: Option<&Bound<'py, PyAny>>,
    rank: &str,
) -> PyResult<Option<PyReadonlyArray<'py, u8, IxDyn>>> {
    value
        .map(|value| {
            bytes("word_starts", value)?
                .ok_or_else(|| rule("word_starts", format!("a bool array of shape {rank}"), describe(value)))
        })
        .transpose()
}

/// Returns the ids of rows. A batch may have no rows.
fn input_ids<'py, D: Dimension>(value: &Bound<'py, PyAny>, rank: &str) -> PyResult<PyReadonlyArray<'py, i32, D>> {
    array("input_ids", value)?.ok_or_else(|| {
        let fix = match value.cast::<PyUntypedArray>() {
            Ok(of) if !of.dtype().is_equiv_to(&dtype::<i32>(value.py())) => "pass input_ids.astype(np.int32)",
            _ => "",
        };
        to_python(Error::rule_with_fix("input_ids", format!("an int32 array of shape {rank}"), describe(value), fix))
    })
}

#[pymethods]
impl PyMasker {
    /// Returns a masker for a tokenizer's ids. Raises AlbertFastError if a special token is missing, an id is outside
    /// the vocabulary, or an option is invalid.
    #[staticmethod]
    fn from_tokenizer(
        tokenizer: &PyTokenizer,
        options_json: &str,
        word_boundary: &str,
        special_ids: ArrayOf<u32>,
    ) -> PyResult<Self> {
        let vocab = tokenizer.inner.vocab(self::word_boundary(word_boundary)?).map_err(to_python)?;
        Self::new(options_json, &vocab, &special_ids.0)
    }

    /// Returns a masker for ids below the length of word_starts. Raises AlbertFastError if an id is outside the
    /// vocabulary or an option is invalid.
    #[staticmethod]
    #[pyo3(signature = (word_starts, options_json, *, pad_id, cls_id, sep_id, mask_id, ordinary, special_ids, word_ends=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn from_vocab(
        word_starts: &Bound<'_, PyAny>,
        options_json: &str,
        pad_id: u32,
        cls_id: u32,
        sep_id: u32,
        mask_id: u32,
        ordinary: Option<ArrayOf<u32>>,
        special_ids: ArrayOf<u32>,
        word_ends: Option<ArrayOf<bool>>,
    ) -> PyResult<Self> {
        crate::arrays::load(word_starts.py())?;
        let starts: PyReadonlyArray1<'_, u8> = bytes("word_starts", word_starts)?
            .ok_or_else(|| rule("word_starts", "a bool array of shape [vocab_size]", describe(word_starts)))?;
        let word_start: Vec<bool> = starts.as_array().iter().map(|&start| start != 0).collect();
        if word_start.len() > i32::MAX as usize {
            return Err(rule("vocab_size", "below 2**31", word_start.len()));
        }
        let size = word_start.len() as u32;
        let ordinary = ordinary.map_or_else(|| (0..size).collect(), |ids| ids.0);
        if let Some(id) = ordinary.iter().find(|&&id| id >= size) {
            return Err(rule("ordinary", format!("ids of the vocabulary, from 0 to {}", i64::from(size) - 1), id));
        }
        let word_end = word_ends.map_or_else(Vec::new, |ends| ends.0);
        if !word_end.is_empty() && word_end.len() != word_start.len() {
            let wanted = format!("as long as word_starts, {}", word_start.len());
            return Err(rule("word_ends", wanted, word_end.len()));
        }
        // Masks treat the unknown piece like any other.
        let vocab = Vocab {
            size,
            pad: pad_id,
            unk: 0,
            cls: cls_id,
            sep: sep_id,
            mask: mask_id,
            word_start,
            word_end,
            ordinary,
        };
        Self::new(options_json, &vocab, &special_ids.0)
    }

    /// Masks one row, int32 of shape [tokens]. Returns a dict of arrays with one dimension. Raises AlbertFastError and
    /// MemoryError.
    #[pyo3(signature = (input_ids, *, seed, row=0, labels=false, word_starts=None))]
    fn mask<'py>(
        &self,
        py: Python<'py>,
        input_ids: &Bound<'py, PyAny>,
        seed: u64,
        row: u64,
        labels: bool,
        word_starts: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        crate::arrays::load(py)?;
        let ids = self::input_ids::<Ix1>(input_ids, "[tokens]")?;
        let call = Call {
            lengths: None,
            attention_mask: None,
            word_starts: self::word_starts(word_starts, "[tokens]")?,
            key: (seed, row),
            labels,
            num_threads: Some(1),
        };
        self.masked(py, ids.as_array().insert_axis(Axis(0)), true, &call)
    }

    /// Masks the rows of int32 [rows, tokens] without the GIL. Returns a dict of arrays with two dimensions.
    ///
    /// num_threads is the number of threads (None: one per core). Raises AlbertFastError and MemoryError.
    #[pyo3(signature = (input_ids, *, seed, lengths=None, attention_mask=None, first_row=0, labels=false,
                        word_starts=None, num_threads=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn mask_batch<'py>(
        &self,
        py: Python<'py>,
        input_ids: &Bound<'py, PyAny>,
        seed: u64,
        lengths: Option<&Bound<'py, PyAny>>,
        attention_mask: Option<&Bound<'py, PyAny>>,
        first_row: u64,
        labels: bool,
        word_starts: Option<&Bound<'py, PyAny>>,
        num_threads: Option<i64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        crate::arrays::load(py)?;
        let ids = self::input_ids::<Ix2>(input_ids, "[rows, tokens]")?;
        let word_starts = self::word_starts(word_starts, "[rows, tokens]")?;
        let call = Call { lengths, attention_mask, word_starts, key: (seed, first_row), labels, num_threads };
        self.masked(py, ids.as_array(), false, &call)
    }

    /// The number of pieces in the vocabulary.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.inner.vocab_size()
    }

    /// Returns the length of the masked_lm_* arrays for a row of this many tokens.
    fn predictions(&self, tokens: usize) -> usize {
        self.inner.predictions(tokens)
    }
}
