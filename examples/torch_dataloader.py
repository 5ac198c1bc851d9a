"""Batches from a token store in a DataLoader with two workers. It needs `pip install torch transformers`.

It trains a small AlbertForPreTraining for two steps on the CPU, on masked words and sentence order.
"""

import tempfile
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import AlbertConfig, AlbertForPreTraining

import albert_fast.torch
from albert_fast import InstanceStream, demo_corpus, prepare_text, tokenize, train_tokenizer


def main() -> None:
    """Trains two steps."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        # Use your own text here, in any format that prepare_text reads. This example uses the docstrings of this
        # Python's modules.
        raw = directory / "docstrings.jsonl"
        raw.write_text(demo_corpus.collect(200_000)[0], encoding="utf-8")
        text = directory / "text.txt"
        prepare_text(raw, text, language="en")
        tokenizer = train_tokenizer(text, directory / "tokenizer", vocab_size=1000)
        tokenize([text], directory / "store", tokenizer)
        source = InstanceStream(directory / "store", batch_size=16, max_seq_length=64)
        # An item is already a batch, hence batch_size=None. The order is the same with any number of workers, or none.
        loader = DataLoader(albert_fast.torch.dataset(source, stop=2), batch_size=None, num_workers=2)

        torch.manual_seed(1)
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
        model = AlbertForPreTraining(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for step, batch in enumerate(loader):
            if step == 0:
                for key, tensor in batch.items():
                    print(f"{key:22}{tensor.dtype!s:13}{list(tensor.shape)}")
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            print(f"step {step + 1}: loss {loss.item():.3f}")


if __name__ == "__main__":  # spawned workers import this file
    main()
