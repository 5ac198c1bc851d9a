"""The model card, README.md of a Hugging Face directory: what the model is, how it was trained, how good it is.

It says only what the checkpoint knows, and names no path of the machine that trained the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from albert_fast import Tokenizer
    from trainer.model.config import ModelConfig

TAGS = ("albert", "fill-mask", "sentence-order-prediction", "albert-fast")
_EVALUATION = {
    "masked_lm_loss": "masked-LM loss (nats)",
    "masked_lm_accuracy": "masked-LM accuracy",
    "sentence_order_loss": "sentence-order loss (nats)",
    "sentence_order_accuracy": "sentence-order accuracy",
}
_OPTIONS = {
    "optimizer": "optimizer",
    "batch_size": "sequences a step",
    "num_train_steps": "steps planned",
    "learning_rate": "learning rate",
    "num_warmup_steps": "warm-up steps",
    "poly_power": "power of the decay",
    "weight_decay": "weight decay",
    "random_seed": "seed",
}
_DATA = {
    "documents": "documents",
    "sentences": "sentences",
    "tokens": "tokens",
    "instances": "sequences an epoch",
    "max_seq_length": "tokens of a sequence, at most",
    "max_predictions": "masked tokens of a sequence, at most",
    "tokens_per_sequence": "tokens of a sequence, on average",
    "masked_lm_prob": "share of tokens masked",
    "ngram": "longest n-gram masked as one, in words",
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
            *_section("Licence", self.license or "Not stated."),
        ]
        return "\n\n".join([self._front_matter(), *sections]) + "\n"

    def _front_matter(self) -> str:
        import yaml

        values: dict[str, Any] = {}
        if self.languages:
            values["language"] = list(self.languages)
        if self.license:
            values["license"] = self.license
        values |= {"library_name": "transformers", "pipeline_tag": "fill-mask", "tags": list(TAGS)}
        written = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).strip()
        return f"---\n{written}\n---"

    def _what(self) -> str:
        config = self.config
        groups = f" in {config.num_hidden_groups} groups" if config.num_hidden_groups > 1 else ""
        return (
            f"An ALBERT ([arXiv 1909.11942](https://arxiv.org/abs/1909.11942)) of {self.parameters:,} parameters: "
            f"{config.num_hidden_layers} layers{groups} of {config.hidden_size}, {config.num_attention_heads} "
            f"attention heads, embeddings of {config.embedding_size}, {config.vocab_size:,} pieces, texts of up to "
            f"{config.max_position_embeddings} tokens. Pretrained on masked words and on the order of sentences "
            "(label 0: in order, 1: exchanged)."
        )

    def _data(self) -> str:
        known = {**self.facts.get("data", {}), **self.figures}
        rows = [(what, known[key]) for key, what in _DATA.items() if known.get(key) is not None]
        return _table(rows) or "Not known."

    def _training(self) -> str:
        options = self.facts.get("options", {})
        rows: list[tuple[str, Any]] = [("steps done", self.step)] if self.step else []
        rows += [(what, options[key]) for key, what in _OPTIONS.items() if options.get(key) is not None]
        resolved = self.facts.get("resolved", {})
        if "precision" in resolved:
            rows.append(("precision", resolved["precision"]))
        lines = []
        if self.facts.get("imported"):
            lines.append(f"The weights were imported from another model: a {self.facts['imported']}.")
        if self.facts.get("initialised"):
            names = ", ".join(f"`{name}`" for name in self.facts["initialised"])
            lines.append(f"That model had no {names}: their values here are random, and nothing trained them.")
        if self.facts.get("init_checkpoint"):
            lines.append("Training started from the weights of another model, not from random ones.")
        if rows:
            lines += [
                _table(rows),
                "Trained with albert-fast, with the losses and optimizers of google-research/ALBERT.",
            ]
        return "\n\n".join(lines) or "Not known."

    def _evaluation(self) -> str:
        if not self.evaluation:
            return "Not evaluated."
        rows = [(what, f"{self.evaluation[key]:.4f}") for key, what in _EVALUATION.items() if key in self.evaluation]
        counts = [
            f"{round(self.evaluation[key]):,} {what}"
            for key, what in (("records", "sequences"), ("predictions", "masked tokens"))
            if key in self.evaluation
        ]
        return f"On {' and '.join(counts) or 'sequences'} held out from training.\n\n{_table(rows)}"

    def _tokenizer(self) -> str:
        lower = self.tokenizer.lower_case
        if self.tokenizer.kind == "wordpiece":
            case = "lower-cased and stripped of accents" if lower else "neither lower-cased nor stripped of accents"
            return f"A WordPiece vocabulary (`vocab.txt`), which transformers reads as BERT's. Text is {case}."
        case = "lower-cased" if lower else "not lower-cased"
        accents = "accents are kept" if self.tokenizer.keep_accents else "accents and umlauts are removed"
        return (
            f"A SentencePiece unigram model (`spiece.model`). Text is {case}, and {accents}. `tokenizer.json` holds "
            "the same pieces for transformers. To load only `spiece.model` there gives other ids, so do keep both."
        )

    def _use(self) -> str:
        return (
            "```python\n"
            "from transformers import pipeline\n\n"
            'fill = pipeline("fill-mask", model="FOLDER_OR_REPOSITORY")\n'
            'print(fill("A sentence with a [MASK] in it."))\n'
            "```\n\n"
            "`AutoModel`, `AutoModelForMaskedLM`, `AutoModelForPreTraining` and `AutoTokenizer` open it too; "
            "`AutoModelForSequenceClassification` and the other heads are there to be fine-tuned."
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
