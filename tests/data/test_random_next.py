"""Label 1 with `random_next_sentence`: B is another document's, never what follows A and never A again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import tfrecords
from native import Corpus, native_instances

from albert_fast import AlbertFastError, InstanceStream, Tokenizer, TokenStore, reference, tokenize
from albert_fast.reference import Options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from conftest import Command

    from albert_fast.reference import Instance

NEXT = Options(max_seq_length=32, dupe_factor=300, random_next_sentence=True, single_segment="split")
SINGLE = replace(NEXT, random_next_sentence=False, single_segment="random")
BOTH = replace(NEXT, single_segment="random")


def corpus_of(*documents: Sequence[Sequence[int]]) -> Corpus:
    """Documents of sentences of ids from 5 to 59, each of which begins a word."""
    special = dict(zip(("pad", "unk", "cls", "sep", "mask"), range(5), strict=True))
    texts = [[list(sentence) for sentence in document] for document in documents]
    return Corpus(texts, [True] * 60, list(range(5, 60)), special)


def halves(item: Instance) -> tuple[list[int], list[int]]:
    ids = reference.restore(item.tokens, item.masked_positions, item.masked_labels)
    return ids[1 : item.first_length - 1], ids[item.first_length : -1]


def wrong(corpus: Corpus, made: Sequence[Instance]) -> Counter[str]:
    """What is wrong with label 1, for sentences of which none is cut off."""
    following = {
        (tuple(document[at]), tuple(document[at + 1]))
        for document in corpus.documents
        for at in range(len(document) - 1)
    }
    found: Counter[str] = Counter()
    for item in made:
        first, second = halves(item)
        if item.is_random_next:
            found["A again"] += first == second
            found["what follows"] += (tuple(first), tuple(second)) in following
    return +found


TWO = corpus_of([[10, 11], [12, 13, 14], [15]], [[20, 21, 22], [23, 24]])
LONG_AND_SHORT = corpus_of([[10 + at] for at in range(20)], [[40]])
TWINS = corpus_of([[10, 11], [12, 13], [14, 15]], [[10, 11], [12, 13], [14, 15]])
TRIPLETS = corpus_of(*[[[10, 11], [12, 13], [14, 15, 16]]] * 3)
REFRAINS = corpus_of([[10, 11], [12], [10, 11], [12]], [[10, 11], [12]])
ECHO = corpus_of([[10, 11], [10, 11]], [[10, 11]])
SILENCE = corpus_of([[10]], [[10]])


@pytest.mark.parametrize("options", [NEXT, SINGLE, BOTH], ids=["next", "single", "both"])
@pytest.mark.parametrize("corpus", [TWO, LONG_AND_SHORT], ids=["two", "long and short"])
def test_b_is_of_the_other_document(corpus: Corpus, options: Options) -> None:
    """Of two documents too, of which the reference takes the same one in one of a thousand cases."""
    ids = {id_ for sentence in corpus.documents[0] for id_ in sentence}
    labels = Counter[bool]()
    for item in native_instances(corpus, replace(options, dupe_factor=1500), "fast"):
        first, second = halves(item)
        other = (first[0] in ids) != (second[0] in ids)
        if options.random_next_sentence or other:
            assert other == item.is_random_next
        elif item.is_random_next:
            assert second[0] < first[0]
        labels[item.is_random_next] += 1
    assert min(labels[True], labels[False]) > 500 or not options.random_next_sentence


@pytest.mark.parametrize("options", [NEXT, SINGLE, BOTH], ids=["next", "single", "both"])
@pytest.mark.parametrize("corpus", [TWO, TWINS, TRIPLETS, REFRAINS, ECHO, SILENCE])
def test_repetitions_do_not_make_labels_false(corpus: Corpus, options: Options) -> None:
    made = native_instances(corpus, options, "fast")
    assert made or corpus is SILENCE
    found = wrong(corpus, made)
    if corpus is REFRAINS:
        # What follows A at another place of the corpus is not looked for.
        del found["what follows"]
    assert not found
    if corpus in (TWO, TWINS, TRIPLETS):
        assert any(item.is_random_next for item in made)


def test_two_segments_that_are_the_same_are_in_order() -> None:
    """Exchanged they would be the same row with the other label."""
    corpus = corpus_of([[10, 11], [10, 11]], [[20, 21], [22, 23]])
    made = native_instances(corpus, Options(max_seq_length=32, dupe_factor=200, short_seq_prob=0), "fast")
    labels = Counter((halves(item)[0][0] < 20, item.is_random_next) for item in made)
    assert labels[True, True] == 0
    assert min(labels[False, True], labels[False, False], labels[True, False] // 2) > 50
    # A sentence of twice the same word, split in two.
    single = corpus_of([[10, 10]], [[20, 21]])
    made = native_instances(single, Options(max_seq_length=32, dupe_factor=50), "fast")
    assert {item.is_random_next for item in made if item.tokens[1] == 10} == {False}


@pytest.mark.parametrize("rng", ["fast", "reference"])
def test_one_document_is_refused(rng: str) -> None:
    corpus = corpus_of([[10, 11], [12], [13, 14], [15]])
    for options in (NEXT, BOTH):
        with pytest.raises(AlbertFastError, match=r"random_next_sentence=True takes.*only 1 document; put"):
            native_instances(corpus, options, rng)
    if rng == "fast":
        with pytest.raises(AlbertFastError, match=r"single_segment='random' .*1 document.*single_segment='split'"):
            native_instances(corpus, SINGLE, rng)
    else:
        assert native_instances(corpus, SINGLE, rng)


def labels(directory: Path) -> set[int]:
    (path,) = directory.glob("*.tfrecord")
    return {
        int(tfrecords.decode_example(data)["next_sentence_labels"][0]) for data in tfrecords.unframe(path.read_bytes())
    }


SENTENCES = "The harbor is quiet.\nBoats lie at the quay.\nA gull cries.\nThe lamp burns.\n"
MORE = "Rain falls on the roof.\nThe street is empty.\n"


def test_make_records_refuses_a_single_document(command: Command, model: Path, tmp_path: Path) -> None:
    text = tmp_path / "one.txt"
    arguments = ["make-records", text, "--tokenizer", model, "--max-seq-length", "32", "--dupe-factor", "30"]
    text.write_text(SENTENCES)
    for option in (["--random-next-sentence"], ["--random-next-sentence", "--rng", "reference"]):
        result = command(*arguments, "--output-dir", "refused", *option)
        assert result.code == 1
        assert "--random-next-sentence" in result.error
        assert "blank line" in result.error
        assert not list(tmp_path.glob("refused/*.tfrecord"))
    assert "--single-segment" in command(*arguments, "--output-dir", "refused", "--single-segment", "random").error
    assert command(*arguments, "--output-dir", "in-order").code == 0
    # The remedies that the error names.
    text.write_text(f"{SENTENCES}\n{MORE}")
    assert command(*arguments, "--output-dir", "random", "--random-next-sentence").code == 0
    assert labels(tmp_path / "random") == labels(tmp_path / "in-order") == {0, 1}


def test_what_the_reference_mislabels_is_told(command: Command, model: Path, tmp_path: Path) -> None:
    """Its records stay byte for byte what they are, so a warning counts what is wrong with them."""
    text = tmp_path / "twins.txt"
    arguments = ["make-records", text, "--tokenizer", model, "--max-seq-length", "32", "--dupe-factor", "40"]
    arguments += ["--random-next-sentence", "--overwrite", "--output-dir", "records"]
    text.write_text(f"{SENTENCES}\n{SENTENCES}")
    result = command(*arguments, "--rng", "reference")
    assert result.code == 0
    assert "have label 1 although B is from A's document, follows A or repeats it" in result.err
    assert "have label 1 although" not in command(*arguments).err
    text.write_text(f"{SENTENCES}\n{MORE}\n" + "\n\n".join(f"Sentence number {number}." for number in range(40)))
    assert "have label 1 although" not in command(*arguments, "--rng", "reference").err


def test_a_stream_refuses_a_single_document(model: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(model)
    stores = {}
    for name, text in (("one", SENTENCES), ("two", f"{SENTENCES}\n{MORE}"), ("twins", f"{SENTENCES}\n{SENTENCES}")):
        (tmp_path / f"{name}.txt").write_text(text)
        tokenize([tmp_path / f"{name}.txt"], tmp_path / name, tokenizer)
        stores[name] = TokenStore(tmp_path / name)
    options: dict[str, Any] = {"max_seq_length": 32, "random_next_sentence": True, "masked_lm_prob": 0.0}
    with pytest.raises(AlbertFastError, match=r"random_next_sentence=True .*only 1 document"):
        InstanceStream(stores["one"], 8, **options)
    with pytest.raises(AlbertFastError, match=r"single_segment='random' .*only 1 document"):
        InstanceStream(stores["one"], 8, 32, single_segment="random")
    assert InstanceStream(stores["one"], 8, 32).batch(0)
    encoded = [list(tokenizer.encode(line)) for line in SENTENCES.splitlines()]
    following = list(pairwise(encoded))
    seen = Counter[int]()
    for name in ("two", "twins"):
        # Epochs of which the chunks are known already too.
        batch = InstanceStream(stores[name], 400, **options).batch(3)
        for ids, mask, segments, (label,) in zip(
            batch["input_ids"].tolist(),
            batch["input_mask"].sum(1).tolist(),
            batch["segment_ids"].tolist(),
            batch["next_sentence_labels"].tolist(),
            strict=True,
        ):
            cut = segments.index(1)
            first, second = ids[1 : cut - 1], ids[cut : mask - 1]
            seen[label] += 1
            if label:
                assert first != second
                assert (first, second) not in following
    assert min(seen[0], seen[1]) > 100
