"""The model card, README.md of a Hugging Face or ONNX directory: what the model is, how it was trained, how good it is.

It says only what the checkpoint knows, and names no path of the machine that trained the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from albert_fast.text import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from albert_fast import Tokenizer
    from trainer.model.config import ModelConfig

TAGS = ("albert", "fill-mask", "sentence-order-prediction", "albert-fast")
ONNX_TAGS = ("onnx", "albert", "albert-fast")
_EVALUATION = {
    "masked_lm_loss": "masked-LM loss (nats)",
    "masked_lm_accuracy": "masked-LM accuracy",
    "sentence_order_loss": "sentence-order loss (nats)",
    "sentence_order_accuracy": "sentence-order accuracy",
}
_OPTIONS = {
    "optimizer": "optimizer",
    "batch_size": "batch size (instances)",
    "num_train_steps": "planned steps",
    "learning_rate": "peak learning rate",
    "num_warmup_steps": "warmup steps",
    "learning_rate_schedule": "schedule of the learning rate",
    "poly_power": "exponent of the learning rate's decay",
    "decay_fraction": "fraction of the steps in which the learning rate decays",
    "final_learning_rate_fraction": "fraction of the peak that the learning rate falls to",
    "weight_decay": "weight decay",
}
_SCHEDULE = {"poly_power": "polynomial", "decay_fraction": "wsd"}
"""The schedule of the learning rate that an option is for."""
_DATA = {
    "documents": "documents",
    "sentences": "sentences",
    "tokens": "tokens",
    "instances": "instances per epoch",
    "max_seq_length": "maximum tokens per instance",
    "max_predictions": "maximum masked tokens per instance",
    "tokens_per_sequence": "mean tokens per instance",
    "masked_lm_prob": "fraction of tokens to mask",
    "ngram": "longest n-gram masked together, in words",
}


@dataclass(frozen=True)
class Card:
    """The content of a model card."""

    name: str
    """The model's name."""
    config: ModelConfig
    parameters: int
    tokenizer: Tokenizer
    step: int
    """Number of training steps."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Facts of the checkpoint: `data`, `options`, `imported` and `initialised`, if known."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the data, from run.json."""
    evaluation: Mapping[str, float] | None = None
    """The checkpoint's evaluation on held-out documents."""
    license: str | None = None
    """A Hugging Face license identifier, such as apache-2.0."""
    languages: Sequence[str] = ()
    """ISO 639 codes."""
    onnx: str | None = None
    """What an ONNX directory computes, a key of `trainer.exchange.onnx_directory.FILES`. None for transformers."""

    def text(self) -> str:
        """Return the card: Markdown after a YAML front matter."""
        sections = [
            f"# {self.name}",
            self._what(),
            *_section("Training data", self._data()),
            *_section("Training", self._training()),
            *_section("Evaluation", self._evaluation()),
            *_section("Tokenizer", self._tokenizer()),
            *_section("How to use it", self._use()),
            *_section("License", self.license or "Not stated."),
        ]
        return "\n\n".join([self._front_matter(), *sections]) + "\n"

    def _front_matter(self) -> str:
        import yaml

        values: dict[str, Any] = {}
        if self.languages:
            values["language"] = list(self.languages)
        if self.license:
            values["license"] = self.license
        if self.onnx is None:
            values |= {"library_name": "transformers", "pipeline_tag": "fill-mask", "tags": list(TAGS)}
        else:
            task = "feature-extraction" if self.onnx == "encoder" else "fill-mask"
            values |= {"pipeline_tag": task, "tags": list(ONNX_TAGS)}
        written = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).strip()
        return f"---\n{written}\n---"

    def _what(self) -> str:
        config = self.config
        groups = f" in {config.num_hidden_groups} groups" if config.num_hidden_groups > 1 else ""
        return (
            f"An ALBERT ([arXiv 1909.11942](https://arxiv.org/abs/1909.11942)) with {self.parameters:,} parameters: "
            f"{number(config.num_hidden_layers, 'layer')}{groups}, hidden size {config.hidden_size:,}, "
            f"{number(config.num_attention_heads, 'attention head')}, embedding size {config.embedding_size:,}, a "
            f"vocabulary of {config.vocab_size:,} pieces, and inputs of up to {config.max_position_embeddings:,} "
            "tokens.\n\nIts two pretraining tasks are to predict masked tokens (masked LM), and to tell whether two "
            "segments of text are in order, label 0, or swapped, label 1 (sentence order). An instance is two "
            "segments: `[CLS] A [SEP] B [SEP]`."
        )

    def _data(self) -> str:
        known = {**self.facts.get("data", {}), **self.figures}
        rows = [(what, known[key]) for key, what in _DATA.items() if known.get(key) is not None]
        return _table(rows) or "Unknown."

    def _training(self) -> str:
        options = self.facts.get("options", {})
        rows: list[tuple[str, Any]] = [("steps", self.step)] if self.step else []
        schedule = options.get("learning_rate_schedule", "polynomial")
        for key, what in _OPTIONS.items():
            if options.get(key) is not None and _SCHEDULE.get(key, schedule) == schedule:
                rows.append((what, options[key]))
        if options.get("random_seed") is not None:
            rows.append(("random seed", str(options["random_seed"])))
        resolved = self.facts.get("resolved", {})
        if "precision" in resolved:
            rows.append(("precision", resolved["precision"]))
        lines = []
        if self.facts.get("imported"):
            lines.append(f"The weights were imported from another model (a {self.facts['imported']}).")
        if self.facts.get("initialised"):
            names = ", ".join(f"`{name}`" for name in self.facts["initialised"])
            lines.append(f"That model had no {names}. Their values here are random and untrained.")
        if self.facts.get("init_checkpoint"):
            lines.append("Training started from the weights of another model, not from random weights.")
        if rows:
            reference = "[google-research/ALBERT](https://github.com/google-research/ALBERT)"
            lines += [f"Trained with albert-fast, which has the losses and optimizers of {reference}.", _table(rows)]
        return "\n\n".join(lines) or "Unknown."

    def _evaluation(self) -> str:
        if not self.evaluation:
            return "Not evaluated."
        rows = [(what, f"{self.evaluation[key]:.4f}") for key, what in _EVALUATION.items() if key in self.evaluation]
        counts = [
            number(round(self.evaluation[key]), what)
            for key, what in (("records", "instance"), ("predictions", "masked token"))
            if key in self.evaluation
        ]
        return f"On held-out documents: {' with '.join(counts) or 'instances'}.\n\n{_table(rows)}"

    def _tokenizer(self) -> str:
        lower = self.tokenizer.lower_case
        if self.tokenizer.kind == "wordpiece":
            case = "lowercased, and accents are removed" if lower else "not lowercased, and accents are kept"
            return f"A WordPiece vocabulary (`vocab.txt`), which transformers reads as BERT's. Text is {case}."
        case = "lowercased" if lower else "not lowercased"
        accents = "kept" if self.tokenizer.keep_accents else "removed, including those of umlauts"
        return (
            f"A SentencePiece unigram model (`spiece.model`). Text is {case}, and accents are {accents}. "
            "`tokenizer.json` holds the same pieces for transformers. Keep both files: without `tokenizer.json`, "
            "transformers makes other ids from `spiece.model`."
        )

    def _use(self) -> str:
        if self.onnx is not None:
            return self._use_onnx(self.onnx)
        return (
            "```python\n"
            "from transformers import pipeline\n\n"
            'fill = pipeline("fill-mask", model="DIRECTORY_OR_REPOSITORY")\n'
            'print(fill("A sentence with a [MASK] in it."))\n'
            "```\n\n"
            "`AutoModel`, `AutoModelForMaskedLM`, `AutoModelForPreTraining` and `AutoTokenizer` load it too. Fine-tune "
            "it with `AutoModelForSequenceClassification` or another task's class."
        )

    def _use_onnx(self, task: str) -> str:
        encoder = "`last_hidden_state` and `pooler_output`"
        files = {
            "both": f"`onnx/model.onnx` computes `logits` for every token, and `onnx/encoder.onnx` {encoder}.",
            "fill-mask": "`onnx/model.onnx` computes `logits` for every token.",
            "encoder": f"`onnx/model.onnx` computes {encoder}.",
        }
        kind = "ORTModelForFeatureExtraction" if task == "encoder" else "ORTModelForMaskedLM"
        limit = self.config.max_position_embeddings
        return (
            f"{files[task]} The inputs are `input_ids`, `attention_mask` (1 for tokens, 0 for padding) and "
            "`token_type_ids` (0 for the first segment, 1 for the second), all int64 [batch_size, sequence_length]. An "
            f"input may have at most {limit:,} tokens, including `[CLS]` and `[SEP]`. ONNX Runtime opens the files, "
            f"and optimum's `{kind}` and Transformers.js the directory.\n\n"
            "```python\n"
            "import onnxruntime\n"
            "from transformers import AutoTokenizer\n\n"
            'tokenizer = AutoTokenizer.from_pretrained("DIRECTORY_OR_REPOSITORY")\n'
            'session = onnxruntime.InferenceSession("DIRECTORY/onnx/model.onnx")\n'
            'inputs = tokenizer(["A sentence with a [MASK] in it."], padding=True, return_tensors="np")\n'
            'print(session.run(None, {name: array.astype("int64") for name, array in inputs.items()}))\n'
            "```"
        )


def _section(title: str, content: str) -> tuple[str, str]:
    return f"## {title}", content


def _table(rows: Sequence[tuple[str, Any]]) -> str:
    if not rows:
        return ""
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {_number(value)} |" for what, value in rows)])


def _number(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
