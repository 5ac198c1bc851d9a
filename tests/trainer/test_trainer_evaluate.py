"""`albert-fast evaluate`: every record once, and what does not fit is told in one line."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("tensorflow")
safetensors = pytest.importorskip("safetensors.numpy")

import tensorflow as tf
from conftest import GOLDEN
from trainer_runs import Material, arguments, checkpoint, damage, evaluations, lines, swapped_tokenizer, weights

from albert_fast import RecordReader
from trainer.model import checkpoints
from trainer.model.config import ModelConfig
from trainer.model.model import Albert

if TYPE_CHECKING:
    from conftest import Command

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

TOKENIZER = GOLDEN / "tokenizer" / "spiece.model"


@pytest.fixture(scope="module")
def run(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that evaluated after step 4 and after step 8."""
    from albert_fast.cli import main

    directory = tmp_path_factory.mktemp("evaluate") / "run"
    words = arguments(
        material,
        directory,
        eval_records=material.held_out,
        num_train_steps=8,
        learning_rate=0.02,
        deterministic=False,
        optimizer="adamw",
    )
    assert main(words) == 0
    return directory


def evaluate(command: Command, *words: object) -> dict[str, float]:
    """The figures that `evaluate` finds, without the seconds."""
    done = command("evaluate", *words, "--no-jit", "--output", "found.json", "--overwrite")
    assert done.code == 0, done.err
    found = json.loads(Path("found.json").read_text())
    for name, value in found["evaluation"].items():
        if "loss" in name or "accuracy" in name:
            assert f"{name:<24} {value:.4f}" in done.out
    figures: dict[str, float] = found["evaluation"]
    del figures["seconds"]
    return figures


def plainly(directory: Path, records: Path) -> dict[str, float]:
    """The same by NumPy in float64 from the model's logits, one record at a time."""
    model = Albert(ModelConfig.from_file(directory / "albert_config.json"))
    checkpoints.load(checkpoints.read(directory), model.named_variables, model_only=True)
    forward = tf.function(model)
    source = RecordReader([str(records)], 1)
    found: list[tuple[float, float, float, float, float]] = []
    for batch in source.batches(0, len(source)):
        logits = forward({name: tf.constant(array) for name, array in batch.items()})
        masked, order = (np.asarray(part, np.float64)[0] for part in logits)
        weight, ids, label = (
            batch["masked_lm_weights"][0],
            batch["masked_lm_ids"][0],
            int(batch["next_sentence_labels"][0, 0]),
        )
        entropies = np.log(np.exp(masked).sum(-1)) - masked[np.arange(len(ids)), ids]
        found.append(
            (
                float((weight * entropies).sum()),
                float((weight * (masked.argmax(-1) == ids)).sum()),
                float(weight.sum()),
                float(np.log(np.exp(order).sum()) - order[label]),
                float(order.argmax() == label),
            )
        )
    sums = np.sum(found, 0)
    return {
        "masked_lm_loss": sums[0] / sums[2],
        "masked_lm_accuracy": sums[1] / sums[2],
        "sentence_order_loss": sums[3] / len(found),
        "sentence_order_accuracy": sums[4] / len(found),
        "records": len(found),
        "predictions": sums[2],
    }


def test_the_figures_are_those_of_all_records(run: Path, material: Material, command: Command) -> None:
    expected = plainly(checkpoint(run, 8), material.held_out)
    assert expected["records"] == 436
    for size in (7, 64, 1000):
        found = evaluate(command, "--checkpoint", run, "--records", material.held_out, "--eval-batch-size", size)
        assert found == pytest.approx(expected, abs=1e-5), size
        assert (found["records"], found["predictions"]) == (436, expected["predictions"])
    # As the run found by itself, at this checkpoint and at an older one.
    assert evaluations(run)[8] == pytest.approx(expected, abs=1e-5)
    older = evaluate(command, "--checkpoint", checkpoint(run, 4), "--records", material.held_out)
    assert evaluations(run)[4] == pytest.approx(older, abs=1e-5)
    assert older["masked_lm_loss"] != pytest.approx(expected["masked_lm_loss"], abs=1e-3)


def test_bf16_is_close(run: Path, material: Material, command: Command) -> None:
    found = evaluate(command, "--checkpoint", run, "--records", material.held_out, "--precision", "bf16")
    for name, value in evaluations(run)[8].items():
        assert found[name] == pytest.approx(value, abs=0.03), name


def test_what_it_writes(run: Path, material: Material, command: Command) -> None:
    done = command("evaluate", "--checkpoint", run, "--records", material.held_out, "--output", "new/found.json")
    assert done.code == 0
    found = json.loads(Path("new/found.json").read_text())
    assert found["step"] == 8
    assert found["checkpoint"] == str(checkpoint(run, 8))
    ids = [
        identifier
        for batch in RecordReader([str(material.held_out)], 1).batches(0, 436)
        for identifier in batch["masked_lm_ids"][batch["masked_lm_weights"] > 0].tolist()
    ]
    shares = np.bincount(ids)[np.bincount(ids) > 0] / len(ids)
    assert found["guessing"]["masked_lm_loss"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert found["guessing"]["masked_lm_accuracy"] == pytest.approx(shares.max())
    assert f"(best constant answer {math.log(2):.4f})" in done.out
    assert done.err.splitlines()[-1] == "albert-fast: wrote new/found.json"


def test_a_damaged_newest_checkpoint_is_passed_over_unless_named(
    run: Path, material: Material, command: Command
) -> None:
    shutil.copytree(run, "run")
    damage(checkpoint(Path("run"), 8) / "variables.data-00000-of-00001")
    done = command("evaluate", "--checkpoint", "run", "--records", material.held_out, "--no-jit")
    assert done.code == 0
    assert done.out.startswith("run/checkpoints/step-00000004, step 4, on 436 records")
    assert "warning: checkpoint run/checkpoints/step-00000008 is damaged" in done.err
    refused = command("evaluate", "--checkpoint", "run/checkpoints/step-00000008", "--records", material.held_out)
    assert refused.code == 1
    assert "step-00000008 is damaged" in refused.error


def records(command: Command, name: str, length: int, tokenizer: Path = TOKENIZER) -> Path:
    text = GOLDEN / "corpus" / "part-b.txt"
    rules = ["--max-seq-length", length, "--max-predictions-per-seq", 10, "--dupe-factor", 1]
    assert command("make-records", text, "--tokenizer", tokenizer, "--output-dir", name, *rules).code == 0
    return Path(name)


def test_records_that_do_not_fit(run: Path, material: Material, command: Command) -> None:
    def refused(*words: object) -> str:
        done = command("evaluate", "--checkpoint", run, *words)
        assert done.code in {1, 2}
        assert done.out == ""
        assert not Path("found.json").exists()
        return done.error

    long = records(command, "long", 128)
    told = refused("--records", long, "--output", "found.json")
    assert told == (
        "long: the length of the instances must be at most 64, the model's max_position_embeddings, got 128; "
        "make records with --max-seq-length 64, or use a model with more positions"
    )

    text = GOLDEN / "corpus" / "part-b.txt"
    trained = command("train-tokenizer", text, "--output-dir", "other", "--vocab-size", 900)
    assert trained.code == 0
    small = records(command, "small", 64, Path("other/spiece.model"))
    told = refused("--records", small)
    assert "than the set small was made with (spiece.model (digest " in told
    assert told.endswith("the first has 2,000 pieces, the other 900; use data made with the model's tokenizer")
    told = refused("--records", small, "--allow-other-tokenizer")
    assert told.startswith("small: the tokenizer must have 2,000 pieces, as many as the model, got 900; ")
    assert told.endswith("pass data made with the model's tokenizer, or a model of 900 pieces")

    # Of unknown origin, the ids themselves are looked at.
    tiny = Path("run")
    words = arguments(material, tiny, records=small, model="small.json", num_train_steps=1, num_warmup_steps=0)
    Path("small.json").write_text(material.small.read_text().replace("2000", "900"))
    assert command(*words).code == 0
    Path("unknown").mkdir()
    for file in material.held_out.glob("*tfrecord*"):
        shutil.copy(file, "unknown")
    done = command("evaluate", "--checkpoint", tiny, "--records", "unknown")
    assert done.code == 1
    assert "record 0 at byte 0: input_ids must be from 0 to 899, " in done.error
    assert "ids must be from 0 to 899" in done.error

    Path("empty").mkdir()
    assert "empty" in refused("--records", "empty")
    assert "nowhere" in refused("--records", "nowhere")


def test_the_lines_of_the_metrics_log_are_as_documented(run: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    sentence = page.split("A training line has ")[1].split(".\n")[0].split(". ")[0]
    documented = {"step", "time", *re.findall(r"`(\w+)`", sentence)}
    kinds = {"start": 0, "loss": 0, "evaluation": 0}
    for line in lines(run):
        (kind,) = kinds.keys() & line.keys()
        kinds[kind] += 1
        if kind == "loss":
            assert line.keys() - {"trust_ratios"} == documented
        elif kind == "evaluation":
            assert line.keys() - {"samples"} == {"step", "time", "evaluation"}
            assert all(f"`{name}`" in page for name in line["evaluation"])
        else:
            assert line.keys() == {"step", "time", "start", "command", "versions"}
    assert kinds == {"start": 1, "loss": 4, "evaluation": 2}


def test_data_of_another_tokenizer(run: Path, material: Material, command: Command) -> None:
    """As many pieces, and two of them in each other's place."""
    swapped = swapped_tokenizer(Path("swapped/spiece.model"))
    others = records(command, "others", 64, swapped)
    words = ("evaluate", "--checkpoint", run, "--records", others, "--no-jit")
    done = command(*words)
    assert done.code == 1
    assert done.error.startswith(f"{run} was trained with another tokenizer ({checkpoint(run, 8)}/spiece.model) than ")
    assert "than the set others was made with (spiece.model (digest " in done.error
    assert done.error.endswith("use data made with the model's tokenizer, or pass --allow-other-tokenizer")
    assert command(*words, "--allow-other-tokenizer").code == 0
    # Ids do not depend on the text rules.
    rules = command(
        "make-records", GOLDEN / "corpus" / "part-b.txt", "--tokenizer", TOKENIZER, "--output-dir", "rules",
        "--max-seq-length", 64, "--no-do-lower-case",
    )  # fmt: skip
    assert rules.code == 0, rules.err
    done = command("evaluate", "--checkpoint", run, "--records", "rules", "--no-jit")
    assert done.code == 0
    assert f"warning: the set rules was made with other text rules than {run} was trained with" in done.err
    # Weights to start from, and records to evaluate on.
    text = GOLDEN / "corpus" / "part-a.txt"
    assert command("tokenize", text, "--tokenizer", swapped, "--output-dir", "store").code == 0
    done = command(*arguments(material, Path("new"), tokens="store", init_checkpoint=run))
    assert done.code == 1
    assert done.error.startswith(f"{run} was trained with another tokenizer (")
    assert not Path("new").exists()
    done = command(*arguments(material, Path("new"), tokens="store", eval_records=material.held_out))
    assert done.code == 1
    assert "store were made with different tokenizers (spiece.model (digest " in done.error
    export = ("export", "--checkpoint", run, "--output-dir", "hf", "--tokenizer", swapped)
    done = command(*export)
    assert done.code == 1
    assert done.error.endswith("remove --tokenizer, or pass --allow-other-tokenizer")
    done = command(*export, "--allow-other-tokenizer")
    assert done.code == 0
    assert f"warning: using {swapped}, whose pieces differ from those of" in done.err


def test_checkpoints_that_are_none(run: Path, material: Material, command: Command) -> None:
    for path, reason in (
        (Path("nowhere"), "does not exist"),
        (material.held_out, "holds no model (no checkpoint of a run, no model.safetensors, no TF1 checkpoint); pass a"),
        (material.small, "must be a TF1 checkpoint or model.safetensors, got another file"),
        (checkpoint(run, 5), "does not exist"),
    ):
        done = command("evaluate", "--checkpoint", path, "--records", material.held_out)
        assert done.code == 1
        assert done.error.startswith(f"{path} {reason}")


def test_models_from_elsewhere(run: Path, material: Material, command: Command) -> None:
    """A Hugging Face directory and a TF1 checkpoint of the run give its figures."""
    expected = evaluations(run)[8]
    for to in ("huggingface", "tf1"):
        assert command("export", "--checkpoint", run, "--output-dir", to, "--to", to).code == 0
        found = evaluate(command, "--checkpoint", to, "--records", material.held_out)
        assert found == pytest.approx(expected, abs=1e-5)
    done = command("evaluate", "--checkpoint", "huggingface", "--records", material.held_out, "--no-jit")
    assert done.out.startswith("huggingface, on 436 records of ")
    Path("tf1/albert_config.json").unlink()
    done = command("evaluate", "--checkpoint", "tf1", "--records", material.held_out)
    assert "has no albert_config.json next to it; put it there" in done.error
    tensors = safetensors.load_file("huggingface/model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.startswith("sop_classifier")}
    safetensors.save_file(kept, "huggingface/model.safetensors")
    done = command("evaluate", "--checkpoint", "huggingface", "--records", material.held_out)
    assert done.error == (
        "Hugging Face directory huggingface lacks cls/seq_relationship/output_bias, "
        "cls/seq_relationship/output_weights; evaluation needs both pretraining heads"
    )


def test_held_out_records_are_none_to_train_on(material: Material, command: Command) -> None:
    words = arguments(material, Path("run"), records=material.records, eval_records=material.records)
    refused = command(*words)
    assert refused.code == 2
    assert "is in --records and in --eval-records; evaluate on records that are not trained on" in refused.error
    assert not Path("run").exists()


def test_evaluation_changes_no_weight(run: Path, material: Material, command: Command) -> None:
    before = weights(run, 8)
    evaluate(command, "--checkpoint", run, "--records", material.held_out)
    assert all((value == before[name]).all() for name, value in weights(run, 8).items())


def test_an_evaluation_without_memory_says_what_to_do(
    run: Path, material: Material, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.run.evaluation import Evaluator

    def full(*_: object, **__: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")

    monkeypatch.setattr(Evaluator, "__call__", full)
    words = arguments(material, Path("run"), eval_records=material.held_out, num_train_steps=2)
    trained = command(*words)
    assert (
        "in the evaluation after step 2, with --eval-batch-size 64; pass a smaller one" in trained.err.splitlines()[-1]
    )
    assert checkpoint(Path("run"), 2).exists()
    found = command("evaluate", "--checkpoint", run, "--records", material.held_out)
    assert "in the evaluation, with --eval-batch-size 64; pass a smaller one" in found.err.splitlines()[-1]
    assert (trained.code, found.code) == (1, 1)
