"""A tiny BERT checkpoint and tiny data sets: real files, built in a moment."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from intbert.model.package import Package
from tests.builder.tiny_recipes import SENTIMENT, SPANS, build_in

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
GOOD = ("fine", "great", "lovely", "brilliant")
BAD = ("dull", "awful", "weak", "boring")
FILLERS = (
    "the",
    "film",
    "was",
    "a",
    "story",
    "and",
    "acting",
    "plot",
    "with",
    "music",
    "by",
    "where",
    "is",
    "cat",
    "house",
    "?",
    ".",
)


def write_checkpoint(folder: Path) -> Path:
    """A BERT of two layers and 32 channels with random weights and a word-level tokenizer."""
    torch.manual_seed(5)
    vocabulary = [*SPECIALS, *GOOD, *BAD, *FILLERS]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder)
    inner = Tokenizer(models.WordPiece({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=64, **names).save_pretrained(folder)
    return folder


def write_sentiment(folder: Path) -> Path:
    """`train.tsv`, `dev.tsv`, `elsewhere.tsv`, columns sentence and label: a good word or a bad one among fillers."""
    generator = torch.Generator().manual_seed(3)

    def pick(words: tuple[str, ...]) -> str:
        return words[int(torch.randint(len(words), (), generator=generator))]

    for name, rows in (("train.tsv", 300), ("dev.tsv", 70), ("elsewhere.tsv", 30)):
        lines = ["sentence\tlabel"]
        for row in range(rows):
            words = [pick(FILLERS) for _ in range(3 + row % 9)] + [pick(GOOD if row % 2 else BAD)]
            lines.append(f"{' '.join(words)}\t{row % 2}")
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_questions(folder: Path) -> Path:
    """`train.json` and `dev.json` in SQuAD's format: where is the cat?"""
    for name, rows in (("train.json", 60), ("dev.json", 12)):
        paragraphs = []
        for row in range(rows):
            word = (*GOOD, *BAD)[row % 8]
            context = f"{'the film was a story . ' * (1 + row % 14)}the cat is {word} . the music was with the plot ."
            answer = {"text": word, "answer_start": context.index(word)}
            question = {"id": f"{name}-{row}", "question": "where is the cat ?", "answers": [answer]}
            paragraphs.append({"context": context, "qas": [question]})
        document = {"version": "1.1", "data": [{"title": "cats", "paragraphs": paragraphs}]}
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models gain nothing from more, and on a busy machine two threads wait for each other all the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint's folder."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def sentiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the sentiment data."""
    return write_sentiment(tmp_path_factory.mktemp("sentiment"))


@pytest.fixture(scope="session")
def similarity(sentiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of scored pairs: neighbouring sentences of the sentiment data, 5 where their labels agree."""
    folder = tmp_path_factory.mktemp("similarity")
    for name in ("train", "dev"):
        rows = [line.split("\t") for line in (sentiment / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]]
        pairs = [
            {"first": a[0], "second": b[0], "score": 5.0 * (a[1] == b[1])}
            for shift in (1, 2)
            for a, b in zip(rows, rows[shift:], strict=False)
        ]
        text = "\n".join(json.dumps(pair) for pair in pairs)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def topics(sentiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the sentiment data with any number of labels a text: what is true of it, none included."""
    folder = tmp_path_factory.mktemp("topics")
    for name in ("train.tsv", "dev.tsv"):
        lines = ["sentence\ttopics"]
        for row in (sentiment / name).read_text(encoding="utf-8").splitlines()[1:]:
            text, label = row.split("\t")
            found = [word for word in ("film", "music") if word in text.split()]
            lines.append(f"{text}\t{'|'.join(['good'] * int(label) + found)}")
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the span data."""
    return write_questions(tmp_path_factory.mktemp("questions"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, sentiment: Path) -> tuple[Path, Package]:
    """Folder of a build of the sentiment recipe, and its package."""
    folder = tmp_path_factory.mktemp("build")
    return folder, build_in(folder, SENTIMENT, checkpoint, sentiment)


@pytest.fixture(scope="session")
def built_spans(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, questions: Path) -> Package:
    """The package of the span recipe at smoke size, hardly trained."""
    return build_in(tmp_path_factory.mktemp("spans"), SPANS, checkpoint, questions, small=True)
