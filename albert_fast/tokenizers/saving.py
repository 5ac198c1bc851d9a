"""Turns a tokenizer into files: its SentencePiece model or WordPiece vocabulary, and its text rules."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from albert_fast import Tokenizer


def sentencepiece_files(model: bytes, tokenizer: Tokenizer, *, rebuilt: bool = False) -> dict[str, bytes]:
    """Returns a SentencePiece model and its text rules as files, with the names that `train-tokenizer` uses.

    `rebuilt` says that the model was made from a tokenizer.json.
    """
    rules = {
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "lower_case": tokenizer.lower_case,
        "keep_accents": tokenizer.keep_accents,
        **({"rebuilt": True} if rebuilt else {}),
    }
    return {"spiece.model": model, "spiece.config.json": (json.dumps(rules, indent=2) + "\n").encode()}


def wordpiece_files(tokenizer: Tokenizer, max_length: int = 512) -> dict[str, bytes]:
    """Returns a WordPiece vocabulary and its text rules as files, with the names that Hugging Face uses.

    ALBERT's own tokenizer in transformers is SentencePiece, so the class in the files is BERT's.
    """
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": tokenizer.lower_case,
        # None means that accents are stripped if and only if text is lowercased.
        "strip_accents": False if tokenizer.lower_case and tokenizer.keep_accents else None,
        "tokenize_chinese_chars": True,
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "pad_token": tokenizer.id_to_piece(tokenizer.pad_id),
        "unk_token": tokenizer.id_to_piece(tokenizer.unk_id),
        "cls_token": tokenizer.id_to_piece(tokenizer.cls_id),
        "sep_token": tokenizer.id_to_piece(tokenizer.sep_id),
        "mask_token": tokenizer.id_to_piece(tokenizer.mask_id),
    }
    written = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    return {"vocab.txt": tokenizer.content, "tokenizer_config.json": written.encode()}
