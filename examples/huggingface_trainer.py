"""Masks for a Hugging Face Trainer, with `Collator` as its data_collator.

It needs `pip install torch transformers accelerate`. It trains a small AlbertForMaskedLM for three steps on the CPU.
Each time a row is used, it gets new masks: n-grams of whole words.
"""

import tempfile
from pathlib import Path

from transformers import AlbertConfig, AlbertForMaskedLM, Trainer, TrainingArguments, set_seed

import albert_fast.torch
from albert_fast import demo_corpus, prepare_text, train_tokenizer


def main() -> None:
    """Trains three steps."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        # Use your own text here, in any format that prepare_text reads. This example uses the docstrings of this
        # Python's modules.
        raw = directory / "docstrings.jsonl"
        raw.write_text(demo_corpus.collect(200_000)[0], encoding="utf-8")
        text = directory / "text.txt"
        prepare_text(raw, text, language="en")
        tokenizer = train_tokenizer(text, directory / "tokenizer", vocab_size=1000)
        lines = [line for line in text.read_text(encoding="utf-8").splitlines() if line]
        # A row has at most 64 tokens, because the model below has that many positions.
        rows = [{"input_ids": [tokenizer.cls_id, *tokenizer.encode(line)[:62], tokenizer.sep_id]} for line in lines]

        # For a transformers tokenizer, use Collator.from_hf(tokenizer).
        collator = albert_fast.torch.Collator(tokenizer, pad_to_multiple_of=8)
        batch = collator(rows[:4])
        print(f"{len(rows)} rows; four of them padded and masked:")
        for ids in batch["input_ids"].tolist():
            print(" ", " ".join(tokenizer.id_to_piece(id_) for id_ in ids))

        # This seeds everything, including the masks.
        set_seed(1)
        config = AlbertConfig(
            vocab_size=tokenizer.vocab_size,
            embedding_size=32,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=64,
            pad_token_id=tokenizer.pad_id,
            bos_token_id=tokenizer.cls_id,
            eos_token_id=tokenizer.sep_id,
        )
        arguments = TrainingArguments(
            output_dir=str(directory / "run"),
            max_steps=3,
            per_device_train_batch_size=16,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(AlbertForMaskedLM(config), arguments, data_collator=collator, train_dataset=rows)
        trainer.train()
        for entry in trainer.state.log_history:
            if "loss" in entry:
                print(f"step {entry['step']}: loss {float(entry['loss']):.3f}")


if __name__ == "__main__":
    main()
