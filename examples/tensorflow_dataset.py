"""A tf.data.Dataset from a token store, and a tf.function that trains on it. It needs `pip install tensorflow`.

Shapes are static, so the step is traced once. The model is a toy: it guesses each masked token from the mean of its
row's embeddings.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

# TensorFlow logs much about the machine while it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

import albert_fast.tf
from albert_fast import InstanceStream, demo_corpus, prepare_text, tokenize, train_tokenizer


def main() -> None:
    """Trains 60 steps in two runs. The second resumes where the first stopped."""
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

        tf.random.set_seed(1)
        embeddings = tf.Variable(tf.random.normal([tokenizer.vocab_size, 32], stddev=0.1))
        output = tf.Variable(tf.zeros([32, tokenizer.vocab_size]))

        @tf.function  # type: ignore[untyped-decorator, unused-ignore]  # TensorFlow may be missing, or have no types
        def train_step(batch: dict[str, Any]) -> Any:
            with tf.GradientTape() as tape:
                mask = tf.cast(batch["input_mask"], tf.float32)[:, :, None]
                mean = tf.reduce_sum(tf.gather(embeddings, batch["input_ids"]) * mask, 1) / tf.reduce_sum(mask, 1)
                logits = tf.matmul(mean, output)[:, None, :] + tf.zeros([1, batch["masked_lm_ids"].shape[1], 1])
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["masked_lm_ids"], logits)
                weights = batch["masked_lm_weights"]
                loss = tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
            for variable, gradient in zip((embeddings, output), tape.gradient(loss, (embeddings, output)), strict=True):
                variable.assign_sub(2.0 * tf.convert_to_tensor(gradient))
            return loss

        for array, spec in albert_fast.tf.dataset(source).element_spec.items():
            print(f"{array:22}{spec.dtype.name:9}{spec.shape}")
        for start, stop in ((0, 30), (30, 60)):
            for step, batch in enumerate(albert_fast.tf.dataset(source, start=start, stop=stop), start):
                loss = train_step(batch)
                if step % 10 == 9:
                    print(f"step {step + 1}: loss {float(loss):.3f}")
        print(f"the step was traced {train_step.experimental_get_tracing_count()} time")


if __name__ == "__main__":
    main()
