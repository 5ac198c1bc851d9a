"""Reads ALBERT pretraining records, shows instances as the public ALBERT guide does, and checks every record.

The compiled part checks each record separately: framing and CRC, feature names, types and lengths, ids within the
vocabulary, padding. This module makes the checks that need the tokenizer, or the other records: masks that restore to
text, one set of lengths throughout, and the frame ``[CLS] A [SEP] B [SEP]``.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albert_fast._native import RecordFile, Tokenizer, remote_records
from albert_fast.errors import AlbertFastError
from albert_fast.options import InspectRecords, options_of
from albert_fast.paths import as_path, is_remote
from albert_fast.text import number

Features = dict[str, NDArray[Any]]

PRINTED = (
    "input_ids",
    "input_mask",
    "segment_ids",
    "token_boundary",
    "masked_lm_positions",
    "masked_lm_ids",
    "masked_lm_weights",
    "next_sentence_labels",
)
"""The features in the order of the guide."""


@dataclasses.dataclass
class Summary:
    """The results of reading all records."""

    files: int = 0
    records: int = 0
    bad_records: int = 0
    bad_files: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    """The first problems, each with its file and record."""
    tokens: int = 0
    predictions: int = 0
    masks: int = 0
    """Predictions whose token is ``[MASK]``. Only counted if the tokenizer is known."""
    kept: int = 0
    """Predictions whose token is the label itself."""
    label_one: int = 0
    """Records whose ``next_sentence_labels`` is 1."""
    without_boundaries: int = 0
    """Records without ``token_boundary``, which new whole-word masks need."""
    other_features: set[str] = dataclasses.field(default_factory=set)
    """Names of features that do not belong to an ALBERT record."""
    longest: int = 0
    max_seq_length: int = 0

    @property
    def good(self) -> bool:
        """Whether there were records, and nothing was wrong with them."""
        return self.records > 0 and self.bad_records == 0 and self.bad_files == 0


def find_files(paths: Sequence[str]) -> list[Path]:
    """Returns the record files that `paths` (files, globs, directories) name, in order, each once.

    A directory stands for its ``*.tfrecord*`` files. One that a glob matches is skipped if it has none. If several
    paths lead to one file, for example through a link, the first in the order of absolute paths is kept. All of this
    holds for remote paths too, which are ``RemotePath`` objects in the result.

    Raises:
        AlbertFastError: a path names nothing.
    """
    import glob

    found: dict[str, Path] = {}
    for path in paths:
        if is_remote(path):
            found |= {str(match): match for match in _remote(path)}
            continue
        if Path(path).is_dir():
            matches = _in_directory(Path(path))
            if not matches:
                message = f"{path}: the directory has no *.tfrecord* file; pass the files, or a glob"
                raise AlbertFastError(message, kind="input", path=Path(path))
        elif Path(path).exists():
            matches = [Path(path)]
        else:
            named = sorted(Path(name) for name in glob.glob(path, recursive=True))
            directories = [name for name in named if name.is_dir()]
            matches = [file for name in named for file in (_in_directory(name) if name.is_dir() else [name])]
            if not matches:
                what = "no file matches" if glob.has_magic(path) else "no such file or directory"
                if directories:
                    what = (
                        f"no *.tfrecord* file in the directories that match, such as {directories[0]}; pass the files"
                    )
                parts = [part for each in str(path).split(",") if (part := each.strip())]
                if len(parts) > 1 and any(Path(part).exists() or glob.glob(part, recursive=True) for part in parts):
                    what += f"; inputs are separated by spaces, not commas: pass {' '.join(parts)}"
                raise AlbertFastError(f"{path}: {what}", kind="input", path=Path(path))
        for match in matches:
            file = os.path.realpath(match)  # unlike Path.resolve, it accepts circular links
            found[file] = min(found.get(file, match), match, key=lambda one: one.absolute().parts)
    return list(found.values())


def _remote(path: str) -> list[Path]:
    """Returns the remote record files that `path` names.

    Raises:
        AlbertFastError: it names nothing, or the server refuses or does not answer.
    """
    found = [as_path(name) for name in remote_records(path)]
    if not found:
        address = as_path(path)
        what = "no such object, and no *.tfrecord* file matches it or is in a directory of this name; pass the files"
        raise AlbertFastError(f"{address}: {what}", kind="input", path=address)
    return found


def _in_directory(directory: Path) -> list[Path]:
    """Returns the record files of a directory, sorted."""
    return sorted(name for name in directory.glob("*.tfrecord*") if not name.name.startswith("."))


def surface(pieces: Iterable[str]) -> str:
    """Returns the text of consecutive pieces of one word: ``▁`` is a space, ``##`` joins."""
    text = ""
    for piece in pieces:
        text += piece.removeprefix("##")
    return text.replace("▁", " ").strip() or "▁"


class Pieces:
    """The pieces of a tokenizer as a list, and the ids that frame an instance."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.names = tokenizer.pieces
        self.starts = tokenizer.word_starts("unicode")
        self.cls, self.sep, self.mask, self.pad = (
            tokenizer.cls_id,
            tokenizer.sep_id,
            tokenizer.mask_id,
            tokenizer.pad_id,
        )

    def __getitem__(self, index: int) -> str:
        return self.names[index] if 0 <= index < len(self.names) else f"<{index}?>"


def predictions_of(features: Features) -> int:
    """Returns how many of the ``masked_lm_*`` values are predictions, not padding."""
    return int(np.count_nonzero(features["masked_lm_weights"]))


def restored(features: Features) -> NDArray[Any]:
    """Returns the tokens before masking, without padding."""
    count = predictions_of(features)
    ids = features["input_ids"].copy()
    ids[features["masked_lm_positions"][:count]] = features["masked_lm_ids"][:count]
    tokens: NDArray[Any] = ids[: int(features["input_mask"].sum())]
    return tokens


def check_against(pieces: Pieces, features: Features) -> list[str]:
    """Returns what the tokenizer shows to be wrong with a record that is otherwise well-formed."""
    problems = []
    tokens = restored(features)
    first = len(tokens) - int(features["segment_ids"].sum())
    if not len(tokens) or tokens[0] != pieces.cls:
        problems.append("input_ids: the first token is not [CLS]")
    if not 1 < first < len(tokens) or tokens[first - 1] != pieces.sep or tokens[-1] != pieces.sep:
        problems.append(f"the two segments, of {first} and {len(tokens) - first} tokens, must each end with [SEP]")
    rules = (("[CLS]", pieces.cls, 1, "occur once"), ("[SEP]", pieces.sep, 2, "occur twice"))
    for name, index, wanted, rule in (*rules, ("[MASK]", pieces.mask, 0, "not occur")):
        found = int(np.count_nonzero(tokens == index))
        if found != wanted:
            problems.append(f"with the labels put back, {name} must {rule}; it occurs {number(found, 'time')}")
    if np.count_nonzero(tokens == pieces.pad):
        problems.append("with the labels put back, there must be no padding among the tokens")
    return problems


def format_instance(features: Features, pieces: Pieces | None) -> list[str]:
    """Returns an instance as the guide shows it, one line per feature, and then each masked word.

    Args:
        features: the features of the record. Missing ones are skipped.
        pieces: the pieces of the tokenizer. Without them, only ids are shown.
    """
    lines = []
    ids = features.get("input_ids")
    if pieces is not None and ids is not None and ids.dtype.kind == "i":
        mask = features.get("input_mask")
        length = int(np.count_nonzero(mask)) if mask is not None else len(ids)
        lines.append("tokens: " + " ".join(pieces[int(index)] for index in ids[:length]))
    for name in PRINTED:
        if name in features:
            values = features[name]
            text = (str(float(value)) if values.dtype.kind == "f" else str(int(value)) for value in values)
            lines.append(f"{name}: {' '.join(text)}")
    return lines


def hidden_words(features: Features, pieces: Pieces) -> list[str]:
    """Returns the masked words of a well-formed record, one line per word, positions first."""
    count = predictions_of(features)
    positions = [int(value) for value in features["masked_lm_positions"][:count]]
    labels = [int(value) for value in features["masked_lm_ids"][:count]]
    ids = features["input_ids"]
    starts = features.get("token_boundary")
    if starts is None:
        # Records such as BERT's do not say where words begin, but the vocabulary does.
        starts = pieces.starts[restored(features)]
    lines = []
    for begin, end in _words(positions, starts):
        span = positions[begin:end]
        shown = " ".join(pieces[int(ids[position])] for position in span)
        word = surface(pieces[label] for label in labels[begin:end])
        place = f"position {span[0]}" if len(span) == 1 else f"positions {span[0]}-{span[-1]}"
        kept = [int(ids[position]) for position in span] == labels[begin:end]
        lines.append(f"  {place}: {shown} {'shows' if kept else 'hides'} {word!r}")
    return lines


def _words(positions: list[int], starts: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yields runs of neighboring positions, split at word starts, as ranges of indices into `positions`."""
    begin = 0
    for index in range(1, len(positions) + 1):
        if index == len(positions) or positions[index] != positions[index - 1] + 1 or starts[positions[index]]:
            yield begin, index
            begin = index


def inspect_records(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    tokenizer: Tokenizer | None = None,
    *,
    num_shown: int = 0,
    emit: Callable[[str], None] = print,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> Summary:
    """Checks every record, from any tool, and shows some of them.

    Args:
        paths: a file, glob or directory of `*.tfrecord*` files, or several.
        tokenizer: the tokenizer of the records. With it, ids, frames and masks are checked too.
        num_shown: the number of instances to show.
        emit: called with each line of what is shown.
        progress: called a few times a second with stage, unit, done and total (0 if unknown).

    Returns:
        The counts. `good` is True if every record and every file is good, and `problems` has the first problems.

    Raises:
        AlbertFastError: a path names nothing.
    """
    many = [paths] if isinstance(paths, str | os.PathLike) else paths
    files = find_files(options_of(InspectRecords)["paths"].check(many))
    return inspect(files, tokenizer, show=num_shown, emit=emit, report=progress)


def inspect(
    files: Sequence[Path],
    tokenizer: Tokenizer | None = None,
    *,
    show: int = 0,
    emit: Callable[[str], None] = print,
    max_problems: int = 10,
    report: Callable[[str, str, int, int], None] | None = None,
) -> Summary:
    """Checks every record of every file and shows the first few.

    Args:
        files: TFRecord files, plain or gzip.
        tokenizer: the tokenizer of the records. Without it, nothing that needs pieces is shown or checked.
        show: the number of instances to show.
        emit: called with each line of these instances.
        max_problems: the maximum number of problems to keep. All are counted.
        report: called with the progress, in records.
    """
    summary = Summary()
    pieces = Pieces(tokenizer) if tokenizer is not None else None
    lengths: tuple[int, int] | None = None
    for file in files:
        summary.files += 1
        try:
            records = RecordFile(str(file), vocab_size=tokenizer.vocab_size if tokenizer is not None else None)
            for index, features, found in records:
                problems = list(found)
                if not problems:
                    these = (len(features["input_ids"]), len(features["masked_lm_ids"]))
                    lengths = lengths or these
                    if these != lengths:
                        problems.append(
                            "max_seq_length and max_predictions_per_seq must be those of the first record, "
                            f"{lengths[0]} and {lengths[1]}, got {these[0]} and {these[1]}"
                        )
                    if pieces is not None:
                        problems += check_against(pieces, features)
                if summary.records < show:
                    _show(emit, file, index, features, problems, pieces)
                summary.records += 1
                if problems:
                    summary.bad_records += 1
                    if len(summary.problems) < max_problems:
                        summary.problems.append(f"{file}, record {index}: {'; '.join(problems)}")
                else:
                    _count(summary, features, pieces)
                if report is not None and summary.records % 512 == 0:
                    report("checking records", "records", summary.records, 0)
        except AlbertFastError as error:
            summary.bad_files += 1
            if len(summary.problems) < max_problems:
                summary.problems.append(str(error))
    return summary


def _show(
    emit: Callable[[str], None],
    file: Path,
    index: int,
    features: Features,
    problems: list[str],
    pieces: Pieces | None,
) -> None:
    emit(f"*** {file}, record {index} ***")
    for line in format_instance(features, pieces):
        emit(line)
    if pieces is not None and not problems:
        words = hidden_words(features, pieces)
        emit(f"masks: {number(len(words), 'word')}, {number(predictions_of(features), 'token')}")
        for line in words:
            emit(line)
    for problem in problems:
        emit(f"PROBLEM: {problem}")
    emit("")


def _count(summary: Summary, features: Features, pieces: Pieces | None) -> None:
    length = int(features["input_mask"].sum())
    count = predictions_of(features)
    summary.tokens += length
    summary.predictions += count
    summary.longest = max(summary.longest, length)
    summary.max_seq_length = len(features["input_ids"])
    summary.label_one += int(features["next_sentence_labels"][0])
    summary.without_boundaries += "token_boundary" not in features
    summary.other_features |= features.keys() - set(PRINTED)
    shown = features["input_ids"][features["masked_lm_positions"][:count]]
    summary.kept += int(np.count_nonzero(shown == features["masked_lm_ids"][:count]))
    if pieces is not None:
        summary.masks += int(np.count_nonzero(shown == pieces.mask))


def format_summary(summary: Summary, *, with_tokenizer: bool) -> list[str]:
    """Returns the summary as lines."""
    lines = [
        f"files:            {summary.files:,}" + (f" ({summary.bad_files:,} unreadable)" if summary.bad_files else "")
    ]
    lines.append(f"records:          {summary.records:,} ({summary.bad_records:,} bad)")
    good = summary.records - summary.bad_records
    if good:
        lines.append(
            f"tokens:           {summary.tokens:,}, {summary.tokens / good:.1f} per record, at most {summary.longest} "
            f"of {summary.max_seq_length}"
        )
        masked = 100 * summary.predictions / max(1, summary.tokens)
        lines.append(f"predictions:      {summary.predictions:,}, {masked:.2f}% of tokens")
        if summary.predictions:
            kept = 100 * summary.kept / summary.predictions
            masks = 100 * summary.masks / summary.predictions
            other = 100 - masks - kept
            lines.append(
                f"shown as:         [MASK] {masks:.1f}%, the token itself {kept:.1f}%, another token {other:.1f}%"
                if with_tokenizer
                else f"shown as:         the token itself {kept:.1f}%, [MASK] or another token {100 - kept:.1f}%"
            )
        ones = 100 * summary.label_one / good
        lines.append(f"sentence order:   label 0 {100 - ones:.1f}%, label 1 {ones:.1f}%")
        if summary.without_boundaries:
            count = f"{summary.without_boundaries:,}"
            lines.append(f"no boundaries:    {count} (no token_boundary: fit for training, not for new masks)")
        if summary.other_features:
            lines.append(f"other features:   {', '.join(sorted(summary.other_features))} (not used)")
    lines += [f"problem:          {problem}" for problem in summary.problems]
    bad = summary.bad_records + summary.bad_files
    if bad > len(summary.problems):
        lines.append(f"                  and {bad - len(summary.problems):,} more")
    return lines
