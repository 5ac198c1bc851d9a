"""`--tokens STORE=WEIGHT`, `--mixture-temperature` and `--phase`: spellings, and what is refused before a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from trainer_runs import GOLDEN, Material, arguments

from albert_fast import Tokenizer, TokenStore, tokenize
from albert_fast.cli.config import options_for
from albert_fast.options import Pretrain
from albert_fast.options.mixtures import by_size, mixture, weighted

if TYPE_CHECKING:
    from conftest import Command


def plans(**options: Any) -> list[Any]:
    return Pretrain(output_dir=Path("run"), model="tiny", **options).plans()


def test_a_weight_follows_the_last_equals_sign(tmp_path: Path) -> None:
    assert weighted("store=0.7") == ("store", 0.7)
    assert weighted("a=b/store=1e-3") == ("a=b/store", 1e-3)
    assert weighted("store") == ("store", None)
    assert weighted("a=b/store") == ("a=b/store", None)
    assert weighted("s3://bucket/store=3") == ("s3://bucket/store", 3)
    year = tmp_path / "year=2020"
    assert weighted(str(year)) == (str(tmp_path / "year"), 2020)
    year.mkdir()
    assert weighted(str(year)) == (str(year), None)
    assert weighted(f"{year}=2") == (str(year), 2)


def test_spellings_of_a_store_are_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("link").symlink_to("a")
    found = plans(tokens=("./a", "b"), phase=("steps=1", "steps=1,tokens=link", "steps=1,tokens=b/../a/=2,tokens=b=1"))
    assert [[store for store, _ in plan.stores] for plan in found] == [["./a", "b"], ["./a"], ["./a", "b"]]


def test_spellings_of_a_phase_are_alike() -> None:
    wanted = plans(tokens="a", phase=("steps=3,max_seq_length=128", {"steps": 4, "tokens": {"b": 1, "c": 2.5}}))
    for phase in (
        ("max-seq-length=128, steps=3", "steps=4,tokens=b=1,tokens=c=2.5"),
        ('{"steps": 3, "max_seq_length": 128}', {"steps": 4, "tokens": ["b=1", "c=2.5"], "masked_lm_prob": None}),
    ):
        assert plans(tokens="a", phase=phase) == wanted
    assert [(one.steps, one.stores, one.instances.predictions) for one in wanted] == [
        (3, [("a", None)], 19),
        (4, [("b", 1.0), ("c", 2.5)], 77),
    ]


def test_a_configuration_has_lists_and_mappings(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "tokens: {a: 0.7, b: 0.3}\nmixture-temperature: null\nphase:\n- steps: 3\n  masked_lm_prob: 0.3:0.15\n"
        "- {steps: 4, tokens: [c]}\n"
    )
    found = options_for(path, "pretrain")
    assert found["tokens"] == ["a=0.7", "b=0.3"]
    first, second = plans(**found)
    assert (first.steps, first.instances.fractions, first.stores) == (3, (0.3, 0.15), [("a", 0.7), ("b", 0.3)])
    assert (second.steps, second.stores) == (4, [("c", None)])


def test_weights_of_sizes() -> None:
    assert by_size([100, 1], 1) == [1, 0.01]
    assert by_size([100, 1], 2) == [1, 0.1]
    # XLM-R's exponent of 0.3, for English and Swahili, say.
    assert by_size([300, 1], 1 / 0.3) == pytest.approx([1, 300**-0.3])
    assert mixture(["a", "b"], 3.0) == [("a", None), ("b", None)]
    (one,) = plans(tokens=("a", "b"))
    assert one.temperature == 1
    # The temperature of the run is for stores without weights.
    first, second = plans(tokens=("a", "b"), mixture_temperature=2, phase=("steps=1", "steps=1,tokens=a=1,tokens=b=1"))
    assert (first.temperature, second.temperature) == (2, None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--tokens", "a=0.7", "--tokens", "b"],
            "the store b has no weight, and others have; give each a weight (STORE",
        ),
        (["--tokens", "a=0.7", "--tokens", "b=0"], "the weight of b must be a number above 0, got 0"),
        (["--tokens", "a=0", "--tokens", "b=0"], "the weight of a must be a number above 0, got 0"),
        (["--tokens", "a=0.7", "--tokens", "b=-1"], "the weight of b must be a number above 0, got -1; pass a number"),
        (["--tokens", "a=0.7", "--tokens", "b=inf"], "the weight of b must be a number above 0, got inf; pass a numb"),
        (["--tokens", "a=70%", "--tokens", "b=30%"], "the weight of a must be a number, got 70%; pass a=0.7"),
        (["--tokens", "a=0,7", "--tokens", "b=0,3"], "the weight of a must be a number, got 0,7; pass a=0.7"),
        (
            ["--phase", "steps=3,tokens=a=0,7,tokens=b=0,3"],
            "in phase 1, there must be NAME=VALUE between commas, got '7'; write decimals with a point",
        ),
        (
            ["--tokens", "a", "--num-train-steps", str(10**15)],
            "--num-train-steps must be a whole number from 1 to 1,000,000,000, got 1000000000000000",
        ),
        (
            ["--tokens", "a", "--num-train-steps", str(2**63)],
            "--num-train-steps must be a whole number from 1 to 1,000,000,000, got 9223372036854775808",
        ),
        (
            ["--tokens", "a", "--num-warmup-steps", str(10**15)],
            "--num-warmup-steps must be a whole number from 0 to 1,000,000,000, got 1000000000000000",
        ),
        (
            ["--tokens", "a", "--phase", f"steps={10**15}"],
            "in phase 1, steps must be a whole number from 1 to 1,000,000,000, got 1000000000000000",
        ),
        (
            ["--tokens", "a", "--phase", f"steps={10**9}", "--phase", "steps=1"],
            "the phases must have at most 1,000,000,000 steps together, got 1,000,000,001",
        ),
        (
            ["--tokens", "a", "--num-train-steps", "2000"],
            "--num-warmup-steps must be at most 2,000, so that warmup ends within --num-train-steps (2,000), got 3125",
        ),
        (
            ["--tokens", "typo", "--phase", "steps=3,tokens=a", "--phase", "steps=3,tokens=b"],
            "--tokens has no effect, because every phase has its own tokens; remove it",
        ),
        (
            ["--tokens", "a", "--phase", "steps=3", "--phase", "steps=3,max_predictions_per_seq=600"],
            "in phase 2, max_predictions_per_seq must be at most max_seq_length (512), got 600; give the phase a",
        ),
        (
            ["--tokens", "a", "--max-predictions-per-seq", "77", "--phase", "steps=3,max_seq_length=64"],
            "in phase 1, max_predictions_per_seq must be at most max_seq_length (64), got 77; give the phase a",
        ),
        (
            ["--tokens", "a=1", "--tokens", "./a=2"],
            "the store ./a is given twice; remove one, or pass one with the sum",
        ),
        (
            ["--tokens", "a=1", "--tokens", "b=1", "--mixture-temperature", "3"],
            "stores with weights have no temperature; remove --mixture-temperature, or the weights",
        ),
        (
            ["--tokens", "a", "--mixture-temperature", "3"],
            "--mixture-temperature has no effect without several stores that have no weights; remove it",
        ),
        (["--tokens", "a", "--mixture-temperature", "0"], "--mixture-temperature must be a number above 0, got 0"),
        (
            ["--records", "r", "--mixture-temperature", "3"],
            "--mixture-temperature has no effect without --tokens; remov",
        ),
        (["--records", "r", "--phase", "steps=3"], "--phase needs --tokens: the instances of records cannot change"),
        (["--phase", "steps=3"], "in phase 1, there must be tokens, because the run has no --tokens"),
        (["--tokens", "a", "--phase", "stepz=3"], "in phase 1, there is no stepz; did you mean steps?"),
        (["--tokens", "a", "--phase", "steps=3", "--phase", "tokens=b"], "in phase 2, steps is missing; add steps=N"),
        (
            ["--tokens", "a", "--phase", "steps=0"],
            "in phase 1, steps must be a whole number from 1 to 1,000,000,000, g",
        ),
        (["--tokens", "a", "--phase", "steps=1,steps=2"], "in phase 1, steps is given twice; remove one"),
        (["--tokens", "a", "--phase", "steps"], "in phase 1, there must be NAME=VALUE between commas, got 'steps'"),
        (
            ["--tokens", "a", "--phase", "steps=1,mixture_temperature=2"],
            "in phase 1, mixture_temperature has no effect with one store; remove it",
        ),
        (
            ["--tokens", "a", "--phase", "steps=2", "--budget-hours", "1", "--num-warmup-steps", "10"],
            "phases need the number of steps from the start; pass --num-train-steps instead of --budget-hours",
        ),
        (
            ["--tokens", "a", "--phase", "steps=2"],
            "--num-warmup-steps must be at most 2, so that warmup ends within --num-train-steps (2), got 3125",
        ),
    ],
)
def test_what_contradicts_itself(words: list[str], told: str, command: Command) -> None:
    refused = command("pretrain", "--output-dir", "run", "--model", "tiny", *words)
    assert refused.code == 2
    assert refused.error.startswith(told)
    assert not Path("run").exists()


def test_a_configuration_that_is_wrong(command: Command) -> None:
    for content, told in (
        ({"phase": [{"steps": 1}, {"steps": 1, "batch_size": 4}]}, "run.json: in phase 2, there is no batch_size; did"),
        ({"phase": 5}, "run.json: in phase 1, there must be NAME=VALUE,... or a mapping, got 5"),
        ({"tokens": {"a": "x"}}, "run.json: tokens must be a mapping from names to numbers, got"),
        (
            {"mixture_temperature": "warm"},
            'run.json: mixture_temperature must be a number above 0, got "warm" (string)',
        ),
        (
            {"phase": [{"steps": 1, "tokens": {"a": "x"}}]},
            "run.json: in phase 1, tokens must be a mapping from names to numbers, got a: 'x'",
        ),
    ):
        Path("run.json").write_text(json.dumps({"tokens": "a", **content}))
        refused = command("pretrain", "--config", "run.json", "--model", "tiny", "--output-dir", "run")
        assert refused.code == 2
        assert refused.error.startswith(told)


def test_stores_that_do_not_fit_together(command: Command, material: Material) -> None:
    pytest.importorskip("tensorflow")
    tokenizer = TokenStore(material.store).tokenizer()
    part = GOLDEN / "corpus" / "part-b.txt"
    tokenize([part], "pieces", Tokenizer.from_vocab_file(GOLDEN / "tokenizer" / "wordpiece.txt"))
    Path("short.txt").write_text("plo\n\nmea\n")
    tokenize(["short.txt"], "short", tokenizer)
    shutil.copytree(material.store, "copy")
    words = arguments(material, Path("run"), tokens=f"{material.store}=1", num_train_steps=None)
    for more, code, told in (
        (["--tokens", "pieces=1"], 1, "pieces and " + str(material.store) + " were made with different tokenizers ("),
        (["--tokens", "nowhere=1"], 1, "nowhere"),
        (["--tokens", "short=1"], 1, "short: no instances: each of the store's 2 documents has a single sentence"),
        (["--tokens", "copy=1"], 2, "copy has the same documents as"),
        (["--phase", "steps=3,max_seq_length=128"], 2, "in phase 1, max_seq_length must be at most 64, the model's"),
        (
            ["--phase", "steps=3", "--phase", "steps=4,max_seq_length=128"],
            2,
            "in phase 2, max_seq_length must be at mos",
        ),
        (
            ["--phase", "steps=3", "--phase", "steps=3,micro_batch_size=3"],
            2,
            (
                "in phase 2, micro_batch_size must be a divisor of the batch size (8), got 3; give the phase a "
                "micro_batch_size of 2"
            ),
        ),
        (
            ["--phase", "steps=3", "--micro-batch-size", "3"],
            2,
            "--batch-size must be a multiple of --micro-batch-size (3), got 8",
        ),
        (
            ["--phase", "steps=3", "--num-train-steps", "5"],
            2,
            "the phases must have as many steps as the run, 5, got 3; change the steps of a phase, or pass --num-train",
        ),
    ):
        refused = command(*words, *more)
        assert refused.code == code, refused.err
        assert told in refused.error
        assert not Path("run").exists()
