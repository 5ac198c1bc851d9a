"""transformers' side of the tests, as a process of its own: PyTorch and TensorFlow in one can end it.

    python hugging_face.py logits DIRECTORY IN.npz OUT.npz     both heads' logits of AlbertForPreTraining
    python hugging_face.py optimum DIRECTORY IN.npz OUT.npz    what optimum computes from an ONNX directory
    python hugging_face.py fill DIRECTORY IN.json OUT.json     the fill-mask pipeline on a list of texts
    python hugging_face.py ids DIRECTORY IN.json OUT.json      AutoTokenizer's ids of a list of texts, and its class
    python hugging_face.py tune DIRECTORY IN.json OUT          20 steps of Trainer on a list of texts, into OUT
    python hugging_face.py save DIRECTORY IN.json OUT          the tokenizer by the class of ALBERT; IN is its arguments

With PyTorch in another Python than the one that runs the tests, TORCH_PYTHON names that.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NEEDS = ("torch", "transformers")


def python() -> str | None:
    """The Python that has PyTorch and transformers; None where there is none."""
    if os.environ.get("TORCH_PYTHON"):
        return os.environ["TORCH_PYTHON"]
    return None if any(importlib.util.find_spec(name) is None for name in NEEDS) else sys.executable


def has(package: str) -> bool:
    """Whether that Python has a package."""
    words = [python() or "", "-c", f"import importlib.util as u; raise SystemExit(u.find_spec({package!r}) is None)"]
    return python() is not None and subprocess.run(words, check=False, timeout=60).returncode == 0


def run(what: str, directory: Path, given: Path, found: Path) -> None:
    """One of the above; fails where it does."""
    words = [python() or "", __file__, what, str(directory), str(given), str(found)]
    # Without this checkout's path: it needs none of it.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr


def _logits(directory: str, given: str, found: str) -> None:
    import numpy as np
    import torch
    from transformers import AlbertForMaskedLM, AlbertForPreTraining

    with np.load(given) as stored:
        batch = {name: torch.tensor(stored[name]).long() for name in stored.files}
    answers: dict[str, Any] = {}
    report = {}
    for attention in ("eager", "sdpa"):
        model, info = AlbertForPreTraining.from_pretrained(
            directory, output_loading_info=True, attn_implementation=attention
        )
        report[attention] = {key: sorted(map(str, value)) for key, value in info.items()}
        model.eval()
        with torch.no_grad():
            answer = model(**batch)
        answers[f"masked_lm_{attention}"] = answer.prediction_logits.float().numpy()
        answers[f"sentence_order_{attention}"] = answer.sop_logits.float().numpy()
    model, info = AlbertForMaskedLM.from_pretrained(directory, output_loading_info=True, attn_implementation="eager")
    report["masked_lm_only"] = {"missing_keys": sorted(map(str, info["missing_keys"]))}
    model.eval()
    with torch.no_grad():
        answers["masked_lm_only"] = model(**batch).logits.float().numpy()
    np.savez(found, report=json.dumps(report), **answers)


def _optimum(directory: str, given: str, found: str) -> None:
    import numpy as np
    from optimum.onnxruntime import ORTModelForFeatureExtraction, ORTModelForMaskedLM

    with np.load(given) as stored:
        batch = {name: stored[name] for name in stored.files}
    np.savez(
        found,
        logits=ORTModelForMaskedLM.from_pretrained(directory)(**batch).logits,
        last_hidden_state=ORTModelForFeatureExtraction.from_pretrained(directory, file_name="encoder.onnx")(
            **batch
        ).last_hidden_state,
    )


def _fill(directory: str, given: str, found: str) -> None:
    from transformers import pipeline

    fill = pipeline("fill-mask", model=directory)
    answers = [fill(text, top_k=2000) for text in json.loads(Path(given).read_text(encoding="utf-8"))]
    Path(found).write_text(json.dumps(answers), encoding="utf-8")


def _ids(directory: str, given: str, found: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    ids = [tokenizer(text)["input_ids"] for text in json.loads(Path(given).read_text(encoding="utf-8"))]
    answer = {"ids": ids, "class": type(tokenizer).__name__, "inputs": tokenizer.model_input_names}
    Path(found).write_text(json.dumps(answer), encoding="utf-8")


def _tune(directory: str, given: str, found: str) -> None:
    import torch
    from transformers import (
        AlbertForPreTraining,
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AlbertForPreTraining.from_pretrained(directory)
    texts = json.loads(Path(given).read_text(encoding="utf-8"))
    rows = [
        {**tokenizer(text, truncation=True, max_length=64), "sentence_order_label": number % 2}
        for number, text in enumerate(texts)
    ]
    settings = TrainingArguments(
        output_dir=f"{found}.work",
        max_steps=20,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        seed=7,
    )
    torch.set_num_threads(1)
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    trainer = Trainer(model, settings, train_dataset=rows, data_collator=collate, processing_class=tokenizer)
    trainer.train()
    trainer.save_model(found)


def _save(directory: str, given: str, found: str) -> None:
    from transformers import AlbertTokenizer

    AlbertTokenizer.from_pretrained(directory, **json.loads(Path(given).read_text())).save_pretrained(found)


if __name__ == "__main__":
    {"logits": _logits, "optimum": _optimum, "fill": _fill, "ids": _ids, "tune": _tune, "save": _save}[sys.argv[1]](
        *sys.argv[2:]
    )
