//! Divides the input into portions that tasks can do independently. They depend on the input only, never on the number of
//! tasks.

use std::io::{BufRead, ErrorKind};
use std::ops::Range;

use super::inputs::InputFile;
use super::source::{Meter, Source};
use crate::{Error, Result};

/// Consecutive inputs, or consecutive bytes of one large input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portion {
    /// The positions of the inputs in the list.
    pub files: Range<usize>,
    /// The bytes of the only input that belong to the portion, or `None` if all do. The end of the last portion of an
    /// input is its size.
    pub bytes: Option<Range<u64>>,
}

/// Divides `files` into portions of about `bytes` bytes on disk, in order.
///
/// Small inputs are put together. An input of more than `bytes` bytes is divided if `is_divisible` says that its bytes can
/// be read from anywhere and mean something there; otherwise, it is one portion. A stream is one portion too.
///
/// # Errors
/// Those of `is_divisible`, which is asked about large inputs only.
pub fn portions(
    files: &[InputFile],
    bytes: u64,
    is_divisible: impl Fn(&InputFile) -> Result<bool>,
) -> Result<Vec<Portion>> {
    let bytes = bytes.max(1);
    let mut found = Vec::new();
    let (mut first, mut together) = (0, 0);
    for (index, file) in files.iter().enumerate() {
        let is_single = !file.is_seekable() || file.bytes > bytes;
        if first < index && (is_single || together + file.bytes > bytes) {
            found.push(Portion { files: first..index, bytes: None });
            (first, together) = (index, 0);
        }
        if !is_single {
            together += file.bytes;
            continue;
        }
        let only = index..index + 1;
        if file.is_seekable() && is_divisible(file)? {
            let starts = (0..file.bytes).step_by(usize::try_from(bytes).unwrap_or(usize::MAX));
            let range = |start: u64| start..file.bytes.min(start.saturating_add(bytes));
            found.extend(starts.map(|start| Portion { files: only.clone(), bytes: Some(range(start)) }));
        } else {
            found.push(Portion { files: only, bytes: None });
        }
        first = index + 1;
    }
    if first < files.len() {
        found.push(Portion { files: first..files.len(), bytes: None });
    }
    Ok(found)
}

/// Corrects the number of the line in an error, if lines were counted from byte `from` of `file`.
pub(crate) fn with_line(mut error: Error, file: &InputFile, from: u64) -> Error {
    if let Error::InvalidUtf8 { line, .. } | Error::LineTooLong { line, .. } | Error::Line { line, .. } = &mut error {
        // If the file cannot be read again, the error about its text is still the one worth reporting.
        *line += lines_before(file, from).unwrap_or(0);
    }
    error
}

fn lines_before(file: &InputFile, end: u64) -> Result<u64> {
    let mut source = Source::open(file, None, 0, &Meter::default())?;
    let (mut left, mut lines) = (end, 0);
    while left > 0 {
        let bytes = match source.reader.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(source.error(file, error)),
        };
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        if count == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &bytes[..count]).count() as u64;
        left -= count as u64;
        source.reader.consume(count);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::inputs::InputKind;

    fn file(bytes: u64) -> InputFile {
        InputFile { path: bytes.to_string().into(), kind: InputKind::File, bytes, version: None }
    }

    fn shown(files: &[InputFile], bytes: u64) -> Vec<String> {
        let portions = portions(files, bytes, |file| Ok(!file.bytes.is_multiple_of(2))).unwrap();
        portions.iter().map(|it| format!("{:?} {:?}", it.files, it.bytes.clone().unwrap_or_default())).collect()
    }

    #[test]
    fn small_inputs_are_put_together_and_large_ones_are_divided() {
        let sizes = [3, 4, 4, 25, 0, 24, 1];
        let files: Vec<_> = sizes.into_iter().map(file).collect();
        let wanted = [
            "0..2 0..0",
            "2..3 0..0",
            "3..4 0..10",
            "3..4 10..20",
            "3..4 20..25",
            "4..5 0..0",
            "5..6 0..0",
            "6..7 0..0",
        ];
        assert_eq!(shown(&files, 10), wanted);
        assert_eq!(shown(&files, 1000), ["0..7 0..0"]);
        assert!(shown(&[], 10).is_empty());
        let stream = InputFile { kind: InputKind::Stdin, bytes: 0, ..file(0) };
        assert_eq!(shown(&[file(1), stream, file(2)], 10), ["0..1 0..0", "1..2 0..0", "2..3 0..0"]);
    }

    proptest! {
        #[test]
        fn portions_cover_everything_once(
            sizes in proptest::collection::vec(0..60_u64, 0..20),
            bytes in 1..40_u64,
        ) {
            let files: Vec<_> = sizes.iter().copied().map(file).collect();
            let (mut next, mut at) = (0, 0);
            for portion in portions(&files, bytes, |file| Ok(!file.bytes.is_multiple_of(3))).unwrap() {
                prop_assert_eq!(portion.files.start, next);
                prop_assert!(!portion.files.is_empty());
                if let Some(range) = portion.bytes {
                    prop_assert_eq!(range.start, at);
                    prop_assert!(range.end - range.start <= bytes && range.start < range.end);
                    at = range.end;
                    if at == sizes[next] {
                        (next, at) = (next + 1, 0);
                    }
                } else {
                    let total: u64 = sizes[portion.files.clone()].iter().sum();
                    prop_assert!(portion.files.len() == 1 || total <= bytes);
                    next = portion.files.end;
                }
            }
            prop_assert_eq!((next, at), (files.len(), 0));
        }
    }
}
