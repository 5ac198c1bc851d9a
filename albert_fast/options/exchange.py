"""Options of `report`, `export`, `import-checkpoint`, `fill-mask` and `demo`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options.base import REQUIRED, option
from albert_fast.options.shared import INPUT, OUTPUT, TOKENIZER, ConfigFile, OtherTokenizer, TextRules

CARD = "Model card"

Target = Literal["huggingface", "tf1", "onnx"]
Task = Literal["both", "fill-mask", "encoder"]
Dtype = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(ConfigFile):
    """`report`."""

    runs: tuple[str, ...] = option(
        REQUIRED,
        "Output directory of pretrain, finished or not. Several are compared.",
        INPUT,
        metavar="RUN",
        argument=True,
    )
    output: Path | None = option(
        None,
        "HTML file to write. An earlier report there is replaced. Required for several runs.",
        OUTPUT,
        metavar="FILE",
        shown="report.html in the run",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(ConfigFile, TextRules, OtherTokenizer):
    """`export`."""

    checkpoint: Path = option(
        REQUIRED,
        "Model to export: a run of pretrain (its newest checkpoint), one of its checkpoints, or the output of "
        "import-checkpoint.",
        INPUT,
        metavar="DIR",
    )
    tokenizer: Path | None = option(
        None,
        "Tokenizer that the model was trained with: spiece.model, tokenizer.json or a WordPiece vocab.txt.",
        TOKENIZER,
        metavar="FILE",
        shown="the one in the checkpoint",
    )
    output_dir: Path = option(
        REQUIRED, "Directory to write. It is complete, or it does not exist.", OUTPUT, metavar="HF_DIR"
    )
    to: Target = option(
        "huggingface",
        "Format to write: a directory for Hugging Face Transformers, a TF1 checkpoint for google-research/ALBERT, or a "
        "directory for ONNX Runtime.",
        OUTPUT,
    )
    task: Task = option(
        "both",
        "With --to onnx: what the model computes. fill-mask gives the logits of every token, encoder the hidden "
        "states. both writes a file for each.",
        OUTPUT,
    )
    dtype: Dtype = option(
        "float32", "Number type of the weights. bfloat16 rounds them, and halves the size of the file.", OUTPUT
    )
    optimizer_state: bool = option(
        False, "With --to tf1: also write the optimizer state, adam_m and adam_v of each variable.", OUTPUT
    )
    overwrite: bool = option(False, "Replace the output of an earlier export.", OUTPUT)
    license: str | None = option(
        None, "License of the model, in Hugging Face's spelling, such as apache-2.0.", CARD, metavar="ID"
    )
    language: tuple[str, ...] = option(
        (), "Language of the training text, such as de. Give the option once per language.", CARD, metavar="CODE"
    )
    model_name: str | None = option(None, "Title of the model card.", CARD, metavar="NAME", shown="the name of HF_DIR")

    def validate(self) -> None:
        if self.to == "tf1" and self.dtype != "float32":
            raise option_error(
                "dtype", "float32 with to='tf1', because google-research/ALBERT reads nothing else", self.dtype
            )
        if self.to == "onnx" and self.dtype != "float32":
            raise option_error(
                "dtype", "float32 with to='onnx', because the outputs are compared with those of float32", self.dtype
            )
        if self.to != "tf1" and self.optimizer_state:
            kind = {"huggingface": "a Hugging Face", "onnx": "an ONNX"}[self.to]
            message = f"optimizer_state needs to='tf1', because {kind} directory holds no optimizer state"
            raise AlbertFastError(message, kind="option", option="optimizer_state", value=True)
        if self.to != "onnx" and self.task != "both":
            message = "task needs to='onnx', because the other formats hold the whole model"
            raise AlbertFastError(message, kind="option", option="task", value=self.task)


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
        "Shape of the model, if SOURCE is a TF1 checkpoint without albert_config.json: base, large, xlarge, "
        "xxlarge, tiny, or the path of such a file.",
        INPUT,
        metavar="NAME",
    )
    random_seed: int = option(
        12345, "Random seed for the weights of heads that SOURCE lacks.", INPUT, low=0, high=2**63 - 1
    )
    tokenizer: Path | None = option(
        None,
        "Tokenizer of the model: spiece.model, tokenizer.json or vocab.txt. If it extends the model's own "
        "(train-tokenizer --extend), the weights get rows for the new pieces.",
        TOKENIZER,
        metavar="FILE",
        shown="the one in SOURCE, if any",
    )
    output_dir: Path = option(
        REQUIRED, "Directory to write. It is complete, or it does not exist.", OUTPUT, metavar="DIR"
    )
    overwrite: bool = option(False, "Replace the output of an earlier import.", OUTPUT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FillMask(ConfigFile, TextRules, OtherTokenizer):
    """`fill-mask`."""

    model_dir: Path = option(
        REQUIRED,
        "Model to use: a run of pretrain (its newest checkpoint), one of its checkpoints, a Hugging Face "
        "directory, or a TF1 checkpoint.",
        INPUT,
        metavar="MODEL_DIR",
        argument=True,
    )
    texts: tuple[str, ...] = option(
        REQUIRED,
        "Text with at least one [MASK]. - reads texts from standard input, one per line.",
        INPUT,
        metavar="TEXT",
        argument=True,
    )
    tokenizer: Path | None = option(
        None, "Tokenizer of the model.", TOKENIZER, metavar="FILE", shown="the one next to the model"
    )
    top_k: int = option(5, "Number of words to show for each [MASK].", OUTPUT, low=1, high=1000)
    masks_per_word: str = option(
        "auto",
        "Maximum number of pieces in a word. 1 finds only words of one piece, as Transformers does. auto tries up "
        "to 5, as long as more pieces help. Words are sorted by the mean log probability of their pieces.",
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

    output_dir: Path = option(
        Path("demo"), "Directory to write to. It is created if it does not exist.", OUTPUT, metavar="DIR"
    )
    megabytes: float = option(
        5.0, "Maximum amount of text to collect, in millions of bytes.", INPUT, metavar="MB", low=0.1, high=1000
    )
    vocab_size: int = option(8000, "Number of pieces in the vocabulary.", TOKENIZER, low=500, high=100_000)
    max_seq_length: int = option(
        64, "Length of each instance in tokens, including padding.", "Training", low=16, high=512
    )
    train: bool = option(
        True,
        "Pretrain, evaluate and export a model. Otherwise, stop after the records.",
        "Training",
        shown="on if TensorFlow is installed",
    )
    num_train_steps: int = option(1500, "Number of training steps.", "Training", low=10)
