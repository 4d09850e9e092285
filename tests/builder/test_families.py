"""RoBERTa and DistilBERT: equal to transformers' own models, and built, verified and served like a BERT."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedModel

from intbert.builder.backbone import load_config, load_model
from intbert.builder.checkpoint import restore_teacher, restore_tokenizer
from intbert.builder.failure import BackboneError
from intbert.builder.families import as_bert, bert_config, load_bert
from intbert.builder.fp32_graph import build_fp32_graph
from intbert.builder.pipeline import build
from intbert.builder.quantise import QuantisedModel, QuantiseSettings, calibrate, export_program, reexport, twin_logits
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import parse_recipe
from intbert.model.package import Package
from intbert.model.tokenizer import Tokenizer
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.verify import digest_all, implementations_of
from tests.api.conftest import run_server
from tests.builder.families import CLASSIFIERS, FAMILIES, SPAN_MODELS, family_config, family_model
from tests.builder.families import write_family_checkpoint as write
from tests.builder.tiny_recipes import SENTIMENT, SIMILARITY, SPANS, write_recipe

LABELS = ("no", "yes", "perhaps")
PAIRS = (
    ("where is the cat ?", "the film was a story . the cat is fine ."),
    ("the music was great", "by the house"),
    ("a", "the acting was lovely and the plot with the music was brilliant . where is the house ?"),
)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A fine-tuned checkpoint as transformers has it and as the build stage loads it."""

    folder: Path
    original: PreTrainedModel
    bert: PreTrainedModel
    tokenizer: Tokenizer

    def original_logits(self) -> list[NDArray[np.float32]]:
        """Of each pair: (labels,) or (tokens, 2), by transformers' own tokenizer and model, padded."""
        encoded = AutoTokenizer.from_pretrained(self.folder)([list(pair) for pair in PAIRS], padding=True)
        fields = {name: torch.tensor(encoded[name]) for name in ("input_ids", "attention_mask")}
        return _rows(self.original, fields)

    def sequences(self) -> list[TokenSequence]:
        """The pairs as the service encodes them."""
        encoded = [self.tokenizer.encode(*pair, limit_tokens=64) for pair in PAIRS]
        return [TokenSequence(token_ids=item.token_ids, type_ids=item.type_ids) for item in encoded]


def _rows(model: PreTrainedModel, fields: dict[str, torch.Tensor]) -> list[NDArray[np.float32]]:
    with torch.no_grad():
        outputs: Any = model(**fields)
    if "logits" in outputs:
        return list(outputs.logits.numpy())
    both = torch.stack([outputs.start_logits, outputs.end_logits], dim=2)
    return [row[mask.bool()].numpy() for row, mask in zip(both, fields["attention_mask"], strict=True)]


def _recipe(folder: Path, **model: Any) -> Recipe:
    spans = model.get("problem_type") == "span_qa"
    tables = {"name": "m", "backbone": str(folder), "tokens_max": 64, **model}
    data = {"train": ["t"], "dev": ["d"], "format": "squad" if spans else "tsv"}
    return parse_recipe({"model": tables, "data": data, "finetune": {"epochs": 0.0}}, "test")


@pytest.fixture(scope="module")
def texts(sentiment: Path, questions: Path) -> list[str]:
    """What the tokenizers are trained on."""
    lines = (sentiment / "train.tsv").read_text(encoding="utf-8").splitlines()
    return [*lines, (questions / "train.json").read_text(encoding="utf-8")]


@pytest.fixture(scope="module", params=[(family, spans) for family in FAMILIES for spans in (False, True)])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, texts: Sequence[str]) -> Loaded:
    """Each family with each head of its own."""
    family, spans = request.param
    kind = (SPAN_MODELS if spans else CLASSIFIERS)[family]
    folder = write(family, tmp_path_factory.mktemp(family), texts, kind, num_labels=2 if spans else len(LABELS))
    recipe = _recipe(folder, **({"problem_type": "span_qa"} if spans else {}))
    return Loaded(
        folder=folder,
        original=kind.from_pretrained(folder),
        bert=load_model(recipe, () if spans else LABELS).eval(),
        tokenizer=Tokenizer.from_json((folder / "tokenizer.json").read_bytes()),
    )


def test_fp32_graph_equals_the_original(loaded: Loaded) -> None:
    """Its own head included, the FP32 variant computes what transformers does, on the service's own tokens."""
    graph = build_fp32_graph(loaded.bert, half_precision_weights=False).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for sequence, expected in zip(loaded.sequences(), loaded.original_logits(), strict=True):
        ids, types = (part[None].astype(np.int64) for part in (sequence.token_ids, sequence.type_ids))
        outputs = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types})
        actual = outputs[0][0] if len(outputs) == 1 else np.stack([part[0] for part in outputs], axis=1)
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, atol=2e-5, rtol=0)
        assert np.abs(expected).max() > 0.1


def test_saved_teacher_is_the_same_model(loaded: Loaded, tmp_path: Path) -> None:
    """What a build keeps between its stages comes back with the family's own activation."""
    loaded.bert.save_pretrained(tmp_path)
    again = load_bert(tmp_path, spans=hasattr(loaded.bert, "qa_outputs"))
    ids = torch.randint(5, 60, (2, 30))
    fields = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    for left, right in zip(_rows(again, fields), _rows(loaded.bert, fields), strict=True):
        np.testing.assert_array_equal(left, right)


def test_int8_is_the_same_everywhere(loaded: Loaded) -> None:
    """All implementations give the same bits near the original's logits, and the program comes back from its scales."""
    model = QuantisedModel.from_teacher(loaded.bert, QuantiseSettings(bf16=False))
    ids = [torch.tensor(sequence.token_ids)[None].long() for sequence in loaded.sequences()]
    calibrate(model, [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in ids])
    exported = export_program(model)
    batch = RaggedBatch.of(loaded.sequences())
    logits = twin_logits(exported.program, batch.token_ids, batch.type_ids, batch.cumulative_lengths)
    spans = exported.program.head.pooler is None
    digests = {
        digest_all(item, loaded.sequences(), per_token=spans, random=np.random.default_rng(0))
        for item in implementations_of(exported.program, exported.logit_scale)
    }
    assert digests == {sha256(np.ascontiguousarray(logits).astype("<i4").tobytes()).hexdigest()}
    expected = np.concatenate([np.atleast_2d(row) for row in loaded.original_logits()])
    error = np.square(logits * exported.logit_scale - expected).mean() / np.square(expected).mean()
    assert error < 0.15**2
    again = reexport(exported.program.tensors(), exported.scales.to_json()).program.tensors()
    assert again.keys() == exported.program.tensors().keys()
    for name, tensor in exported.program.tensors().items():
        np.testing.assert_array_equal(again[name], tensor, err_msg=name)


@pytest.mark.parametrize(("family", "channels", "heads"), [("distilbert", 768, 12), ("roberta", 1024, 16)])
def test_base_and_large_sizes(family: str, channels: int, heads: int) -> None:
    """The widths of the published checkpoints become BERTs that compute the same."""
    config = family_config(family, 60, channels=channels, heads=heads, initializer_range=0.02)
    original = family_model(CLASSIFIERS[family], config)
    ids = torch.randint(5, 60, (2, 64))
    fields = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    bert = as_bert(original, bert_config(config))
    for left, right in zip(_rows(bert, fields), _rows(original, fields), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5, rtol=0)


def test_positions_before_the_first_token_do_not_count(tmp_path: Path, texts: Sequence[str]) -> None:
    """RoBERTa numbers tokens from behind its padding index: 66 rows are 64 positions."""
    folder = write("roberta", tmp_path, texts)
    assert load_config(_recipe(folder)).max_position_embeddings == 66
    with pytest.raises(BackboneError, match="65, but the backbone has 64 positions"):
        load_config(_recipe(folder, tokens_max=65))


BUILDS = {
    "distilbert-sentiment": ("distilbert", SENTIMENT, "sentiment"),
    "distilbert-spans": ("distilbert", SPANS, "questions"),
    "roberta-similarity": ("roberta", SIMILARITY, "similarity"),
    "roberta-spans": ("roberta", SPANS, "questions"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, texts: Sequence[str], request: pytest.FixtureRequest) -> Path:
    """Fine-tuned, quantised and exported packages from checkpoints without a head."""
    folder = tmp_path_factory.mktemp("families")
    for family in FAMILIES:
        write(family, folder / family, texts)
    for name, (family, template, data) in BUILDS.items():
        place = folder / name
        place.mkdir()
        named = re.sub(r'^name = "tiny.*"', f'name = "{name}"', template, flags=re.MULTILINE)
        build(
            recipe_path=write_recipe(place, named, folder / family),
            store=folder / "store",
            work_dir=place / "work",
            data_root=request.getfixturevalue(data),
            small=name != "distilbert-sentiment",
            progress=False,
        )
    return folder / "store"


@pytest.mark.parametrize("name", BUILDS)
def test_build_is_verified(store: Path, name: str) -> None:
    """Every implementation gave the same bits, and the manifest says which family the model came from."""
    manifest = Package.open(store / name / "1").manifest
    assert manifest.architecture.family == BUILDS[name][0]
    assert manifest.architecture.positions == 64
    verification = manifest.card.measured["verification"]
    assert isinstance(verification, dict)
    assert verification["identical"] is True


@pytest.mark.parametrize("name", BUILDS)
def test_package_becomes_a_checkpoint_again(store: Path, name: str) -> None:
    """The BERT that a family's model became, restored from the file, writes the same file."""
    package = Package.open(store / name / "1")
    assert build_fp32_graph(restore_teacher(package)).SerializeToString() == package.onnx()
    assert restore_tokenizer(package).pad_token in ("[PAD]", "<pad>")


def test_trained_classifier_is_accurate(store: Path) -> None:
    """Training reaches the head with ReLU, and integers keep what it learned."""
    metrics = Package.open(store / "distilbert-sentiment" / "1").manifest.card.metrics
    assert metrics["fp32"]["accuracy"] > 80
    assert metrics["int8"]["accuracy"] > 80


def test_all_are_served(store: Path) -> None:
    """One server answers with every package and both variants; answers are words of the context, without spaces."""
    context = "the film was a story . the cat is brilliant ."
    pair = dict(zip(("text", "text_pair"), PAIRS[0], strict=True))
    with run_server(store) as server, server.client() as client:
        for variant in ("int8", "fp32"):
            for family in FAMILIES:
                chosen = {"variant": variant, "model": f"{family}-spans"}
                body = {"question": "where is the cat ?", "context": context, "parameters": {**chosen, "top_k": 5}}
                response = client.post("/qa", json=body)
                assert response.status_code == 200, response.text
                for answer in response.json()["results"][0]:
                    assert answer["answer"] == context[answer["start"] : answer["end"]] == answer["answer"].strip()
            for name, inputs in (("distilbert-sentiment", "a great film"), ("roberta-similarity", pair)):
                parameters = {"variant": variant, "model": name}
                response = client.post("/classify", json={"inputs": inputs, "parameters": parameters})
                assert response.status_code == 200, response.text
