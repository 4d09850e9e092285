"""Recipes for tiny models on tiny data."""

from pathlib import Path
from typing import Any

from intbert.builder.pipeline import build
from intbert.model.package import Package

SENTIMENT = """
seed = 3
[model]
name = "tiny"
backbone = "{checkpoint}"
labels = ["negative", "positive"]
tokens_max = 64
[data]
train = ["train.tsv"]
dev = ["dev.tsv"]
columns = {{ text = "sentence", label = "label" }}
label_values = {{ 0 = "negative", 1 = "positive" }}
holdout_fraction = 0.2
[finetune]
epochs = 6
learning_rate = 2e-3
dropout = 0.0
tokens_max = 32
batch_examples = 8
[quantise]
learning_rate = 1e-4
batch_examples = 8
[report]
gate_allowed_drop = 10.0
verify_texts = 8
bench_shapes = ["1x16"]
error_texts = 8
elsewhere = ["elsewhere.tsv"]
licences = {{ "elsewhere.tsv" = "none needed" }}
"""

SIMILARITY = """
seed = 3
[model]
name = "tiny-similarity"
backbone = "{checkpoint}"
problem_type = "regression"
tokens_max = 64
[data]
format = "jsonl"
train = ["train.jsonl"]
dev = ["dev.jsonl"]
columns = {{ text = "first", text_pair = "second", label = "score" }}
[finetune]
tokens_max = 32
[quantise]
epochs = 0.5
"""

TOPICS = """
seed = 3
[model]
name = "tiny-topics"
backbone = "{checkpoint}"
problem_type = "multi_label_classification"
labels = ["good", "film", "music"]
tokens_max = 64
[data]
train = ["train.tsv"]
dev = ["dev.tsv"]
columns = {{ text = "sentence", label = "topics" }}
[finetune]
epochs = 6
dropout = 0.0
learning_rate = 2e-3
tokens_max = 32
batch_examples = 8
[quantise]
epochs = 0.5
"""

SPANS = """
seed = 3
[model]
name = "tiny-spans"
backbone = "{checkpoint}"
problem_type = "span_qa"
tokens_max = 64
[data]
format = "squad"
train = ["train.json"]
dev = ["dev.json"]
[span]
window_tokens = 48
overlap_tokens = 16
question_tokens_max = 12
[finetune]
learning_rate = 2e-3
batch_examples = 8
[quantise]
epochs = 0
"""


def write_recipe(folder: Path, template: str, checkpoint: Path) -> Path:
    """The recipe as a file."""
    path = folder / "recipe.toml"
    path.write_text(template.format(checkpoint=checkpoint), encoding="utf-8")
    return path


def build_in(folder: Path, template: str, checkpoint: Path, data: Path, **settings: Any) -> Package:
    """The recipe's package, in the folder `store` beside it; settings as of `build`."""
    return build(
        recipe_path=write_recipe(folder, template, checkpoint),
        store=folder / "store",
        work_dir=folder / "work",
        data_root=data,
        progress=False,
        **settings,
    )
