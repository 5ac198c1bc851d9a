"""Options of `export`, `import-checkpoint`, `fill-mask` and `demo`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from albert_fast.errors import option_error
from albert_fast.options.base import REQUIRED, option
from albert_fast.options.shared import INPUT, OUTPUT, TOKENIZER, ConfigFile, OtherTokenizer, TextRules

CARD = "Model card"

Target = Literal["huggingface", "tf1"]
Dtype = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(ConfigFile, TextRules, OtherTokenizer):
    """`export`."""

    checkpoint: Path = option(
        REQUIRED,
        "A checkpoint of pretrain, or a run, for its newest one; or what import-checkpoint made.",
        INPUT,
        metavar="DIR",
    )
    tokenizer: Path | None = option(
        None,
        "The tokenizer that the model was trained with: spiece.model, tokenizer.json or a WordPiece vocab.txt.",
        TOKENIZER,
        metavar="FILE",
        shown="that of the checkpoint",
    )
    output_dir: Path = option(REQUIRED, "Directory to write. It appears whole or not at all.", OUTPUT, metavar="HF_DIR")
    to: Target = option(
        "huggingface",
        "What to write: a directory for Hugging Face Transformers, or a TF1 checkpoint for google-research/ALBERT.",
        OUTPUT,
    )
    dtype: Dtype = option(
        "float32", "Type of the weights. bfloat16 halves the size of the file and rounds them.", OUTPUT
    )
    optimizer_state: bool = option(
        False, "With --to tf1: write the optimizer's adam_m and adam_v for each variable too.", OUTPUT
    )
    overwrite: bool = option(False, "Replace what an earlier export wrote there.", OUTPUT)
    license: str | None = option(
        None, "License of the model, as Hugging Face spells it, such as apache-2.0.", CARD, metavar="ID"
    )
    language: tuple[str, ...] = option(
        (), "Language of the text, such as de. Give the option again for more.", CARD, metavar="CODE"
    )
    model_name: str | None = option(None, "Title of the model card.", CARD, metavar="NAME", shown="the name of HF_DIR")

    def validate(self) -> None:
        if self.to == "tf1" and self.dtype != "float32":
            raise option_error(
                "dtype", "float32 with to='tf1', because google-research/ALBERT reads nothing else", self.dtype
            )
        if self.to == "huggingface" and self.optimizer_state:
            rule = "false with to='huggingface', because a Hugging Face directory holds no optimizer state"
            raise option_error("optimizer_state", rule, value=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportCheckpoint(ConfigFile, TextRules, OtherTokenizer):
    """`import-checkpoint`."""

    source: Path = option(
        REQUIRED,
        "A TF1 ALBERT checkpoint (its directory, or its path without .index), or a Hugging Face directory with "
        "config.json and model.safetensors.",
        INPUT,
        metavar="SOURCE",
        argument=True,
    )
    model: str | None = option(
        None,
        "Shape of a TF1 checkpoint that has no albert_config.json next to it: base, large, xlarge, xxlarge, tiny, or "
        "such a file.",
        INPUT,
        metavar="NAME",
    )
    random_seed: int = option(12345, "Random seed of heads that SOURCE lacks.", INPUT, low=0, high=2**63 - 1)
    tokenizer: Path | None = option(
        None,
        "Its tokenizer: spiece.model, tokenizer.json or vocab.txt.",
        TOKENIZER,
        metavar="FILE",
        shown="the one in the directory of SOURCE, if any",
    )
    output_dir: Path = option(REQUIRED, "Directory to write. It appears whole or not at all.", OUTPUT, metavar="DIR")
    overwrite: bool = option(False, "Replace what an earlier import wrote there.", OUTPUT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FillMask(ConfigFile, TextRules, OtherTokenizer):
    """`fill-mask`."""

    model_dir: Path = option(
        REQUIRED,
        "A run of pretrain, one of its checkpoints, a Hugging Face directory, or a TF1 checkpoint.",
        INPUT,
        metavar="MODEL_DIR",
        argument=True,
    )
    texts: tuple[str, ...] = option(
        REQUIRED,
        "Texts with one [MASK] or more; - reads texts from standard input, one per line.",
        INPUT,
        metavar="TEXT",
        argument=True,
    )
    tokenizer: Path | None = option(
        None, "Tokenizer of the model.", TOKENIZER, metavar="FILE", shown="the one next to the model"
    )
    top_k: int = option(5, "Number of words for each [MASK].", OUTPUT, low=1, high=1000)
    masks_per_word: str = option(
        "auto",
        "Most pieces in a word. 1 allows only single pieces, as Transformers does. auto uses as many as help, up to 5. "
        "Words are sorted by the mean log probability of their pieces.",
        OUTPUT,
        metavar="N|auto",
    )
    json: bool = option(False, "Print one JSON object per text.", OUTPUT)

    def validate(self) -> None:
        value = self.masks_per_word
        if value != "auto" and not (value.isdecimal() and 1 <= int(value) <= 64):
            raise option_error("masks_per_word", "auto or a whole number from 1 to 64", value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo(ConfigFile):
    """`demo`."""

    output_dir: Path = option(Path("demo"), "Directory to write to. It is created if needed.", OUTPUT, metavar="DIR")
    megabytes: float = option(
        5.0, "Most text to collect, in millions of bytes.", INPUT, metavar="MB", low=0.1, high=1000
    )
    vocab_size: int = option(8000, "Number of pieces of the tokenizer.", TOKENIZER, low=500, high=100_000)
    max_seq_length: int = option(64, "Length of an instance in tokens.", "Training", low=16, high=512)
    train: bool = option(
        True, "Also pretrain, evaluate and export a model.", "Training", shown="on if TensorFlow is installed"
    )
    num_train_steps: int = option(1500, "Number of training steps.", "Training", low=10)
