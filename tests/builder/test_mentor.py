"""A larger model that the FP32 model follows."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import MPNetConfig, MPNetModel, PreTrainedTokenizerFast

from intbert.builder.backbone import load_tokenizer
from intbert.builder.failure import BackboneError, DataError, RecipeError
from intbert.builder.finetune import training_arguments
from intbert.builder.guided import FAR_BELOW, guided_collator
from intbert.builder.mentor import Translation, guided_features, train_mentor
from intbert.builder.mentor_logits import LOGITS_FILE, MentorLogits
from intbert.builder.pipeline import open_build
from intbert.builder.prepared import PreparedData, prepare
from intbert.builder.recipe import MentorSection, Recipe
from intbert.builder.recipe_file import load_recipe
from intbert.model.package import Package
from tests.builder.conftest import BAD, FILLERS, GOOD
from tests.builder.tiny_recipes import SENTIMENT, SPANS, build_in, write_recipe

MENTOR = """
[mentor]
backbone = "{mentor}"
epochs = 6
learning_rate = 2e-3
batch_examples = 8
dropout = 0.0
"""
SPECIALS = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")


def write_mentor(folder: Path, *, without: str = "") -> Path:
    """An MPNet with the checkpoint's words in another order, and two separators between texts."""
    torch.manual_seed(6)
    vocabulary = [*SPECIALS, *sorted(word for word in (*GOOD, *BAD, *FILLERS) if word != without)]
    config = MPNetConfig(
        vocab_size=len(vocabulary),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=80,
        initializer_range=0.2,
    )
    MPNetModel(config).save_pretrained(folder)
    inner = Tokenizer(models.WordPiece({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    names = {
        "pad_token": "<pad>",
        "unk_token": "[UNK]",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    }
    PreTrainedTokenizerFast(
        tokenizer_object=inner, model_input_names=["input_ids", "attention_mask"], **names
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def mentor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mentor's folder."""
    return write_mentor(tmp_path_factory.mktemp("mentor"))


def tokenizers(ours: Path, theirs: Path) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """Both, of their checkpoints."""
    return PreTrainedTokenizerFast.from_pretrained(ours), PreTrainedTokenizerFast.from_pretrained(theirs)


@pytest.mark.parametrize(
    "texts", [("the film was zzz",), ("where is the cat ?", "the cat is by the house ."), ("cat [SEP] film", "house")]
)
def test_mentor_reads_the_same_tokens(checkpoint: Path, mentor: Path, texts: tuple[str, ...]) -> None:
    """Every word has its place among the mentor's; special tokens fall on special ones, answers stay on their words."""
    ours, theirs = tokenizers(checkpoint, mentor)
    ids = ours(*texts)["input_ids"]
    feature = {"input_ids": ids, "start_positions": len(ids) - 2, "end_positions": 0, "labels": 1}
    translated, places = Translation(ours, theirs)(feature)
    roles = {"<s>": "[CLS]", "</s>": "[SEP]"}
    seen = [roles.get(token, token) for token in theirs.convert_ids_to_tokens(translated["input_ids"])]
    assert [seen[place] for place in places] == ours.convert_ids_to_tokens(ids)
    assert translated["start_positions"] == places[-2]
    assert (translated["end_positions"], translated["labels"]) == (0, 1)
    assert translated["attention_mask"] == [1] * len(translated["input_ids"])


def test_translation_is_what_the_mentor_would_read(checkpoint: Path, mentor: Path) -> None:
    """For ordinary texts it equals the mentor's own tokenisation, and that of the same tokenizer is the feature."""
    ours, theirs = tokenizers(checkpoint, mentor)
    texts = ("where is the cat ?", "the cat is by the house .")
    for pair in (texts, texts[:1]):
        feature = dict(ours(*pair))
        assert Translation(ours, theirs)(feature)[0]["input_ids"] == theirs(*pair)["input_ids"]
        itself, places = Translation(ours, ours)(feature)
        assert itself == feature
        assert places == list(range(len(places)))


def test_missing_word_piece_is_named(checkpoint: Path, tmp_path: Path) -> None:
    """A mentor of another vocabulary is refused with the token that it lacks."""
    ours, theirs = tokenizers(checkpoint, write_mentor(tmp_path, without="house"))
    with pytest.raises(BackboneError, match="no 'house'"):
        Translation(ours, theirs)(dict(ours("the house")))


def recipe_with_mentor(folder: Path, template: str, checkpoint: Path, mentor: Path, more: str = "") -> Recipe:
    """The template's recipe and the mentor; `more` is said of it."""
    return load_recipe(write_recipe(folder, template + MENTOR.replace("{mentor}", str(mentor)) + more, checkpoint))


def shortly(recipe: str) -> str:
    """With one epoch of everything: for what does not depend on what is learned."""
    return recipe.replace("epochs = 6", "epochs = 1")


def taught(recipe: Recipe, data_root: Path, folder: Path) -> tuple[PreparedData, MentorLogits]:
    """The recipe's data and what its mentor says of it."""
    tokenizer = load_tokenizer(recipe)
    data = prepare(recipe, data_root, tokenizer)
    assert isinstance(recipe.mentor, MentorSection)
    said = train_mentor(
        recipe,
        recipe.mentor,
        labels=data.labels,
        tokenizer=tokenizer,
        train=data.train,
        holdout=data.holdout,
        folder=folder,
        progress=False,
        say=lambda _: None,
    )
    return data, said


def test_logits_belong_to_examples(tmp_path: Path, checkpoint: Path, mentor: Path, sentiment: Path) -> None:
    """The mentor learns the task, and each example's logits are its own."""
    recipe = recipe_with_mentor(tmp_path, SENTIMENT, checkpoint, mentor)
    data, said = taught(recipe, sentiment, tmp_path)
    assert said.found["accuracy"] > 0.9
    guided = guided_features(data.train, said.logits, spans=False)
    right = [item["mentor_logits"].argmax() == item["labels"] for item in guided]
    assert np.mean(right) > 0.9


def test_logits_of_spans_belong_to_tokens(tmp_path: Path, checkpoint: Path, mentor: Path, questions: Path) -> None:
    """Start and end for each of our tokens; a batch pads them far below everything."""
    recipe = recipe_with_mentor(tmp_path, SPANS, checkpoint, mentor)
    data, said = taught(recipe, questions, tmp_path)
    assert said.found["loss"] > 0
    guided = guided_features(data.train, said.logits, spans=True)
    assert [item["mentor_logits"].shape for item in guided] == [(len(item["input_ids"]), 2) for item in data.train]
    batch = guided_collator(load_tokenizer(recipe), 8)(guided[:8])
    padding = batch["attention_mask"] == 0
    assert batch["mentor_logits"].shape == (*batch["input_ids"].shape, 2)
    assert (batch["mentor_logits"][padding] == FAR_BELOW).all()
    assert (batch["mentor_logits"][~padding] > FAR_BELOW).all()


def test_model_follows_its_mentor(tmp_path: Path, checkpoint: Path, sentiment: Path, mentor: Path) -> None:
    """Following it almost alone teaches the task; the card names mentor, licence and what it reached."""
    alone = SENTIMENT.replace("[finetune]", "[finetune]\nmentor_weight = 0.99").replace(
        "[data]", '[model.licences]\nmentor = "made here"\n[data]'
    )
    package = build_in(tmp_path, alone + MENTOR.replace("{mentor}", str(mentor)), checkpoint, sentiment)
    manifest = Package.open(package.directory).manifest
    assert manifest.provenance.mentor is not None
    assert manifest.provenance.mentor.licence == "made here"
    measured: Any = manifest.card.measured
    assert measured["training"]["mentor"]["accuracy"] > 0.9
    assert manifest.card.metrics["int8"]["accuracy"] > 80
    assert "made here" in package.read("report.html").decode()


def test_checkpoints_of_guided_models_are_told_apart_by_loss(tmp_path: Path, checkpoint: Path, mentor: Path) -> None:
    """Without a mentor by accuracy: surer answers raise the loss of a model that still learns."""
    alone = load_recipe(write_recipe(tmp_path, SENTIMENT, checkpoint))
    guided = recipe_with_mentor(tmp_path, SENTIMENT, checkpoint, mentor)
    chosen_by = [
        training_arguments(recipe, tmp_path, evaluate=True, progress=False, examples=80).metric_for_best_model
        for recipe in (alone, guided)
    ]
    assert chosen_by == ["accuracy", "loss"]


def test_following_differently_trains_no_mentor_again(
    tmp_path: Path, checkpoint: Path, sentiment: Path, mentor: Path
) -> None:
    """The mentor's stage depends on what it learns from, not on how it is followed."""
    inputs = []
    for weight in ("0.3", "0.7"):
        template = SENTIMENT.replace("[finetune]", f"[finetune]\nmentor_weight = {weight}")
        path = write_recipe(tmp_path, template + MENTOR.replace("{mentor}", str(mentor)), checkpoint)
        run = open_build(recipe_path=path, work_dir=tmp_path / "work", data_root=sentiment)
        inputs.append(json.dumps(run.mentor_inputs({})))
    assert inputs[0] == inputs[1]


def test_mentor_labels_variations(tmp_path: Path, checkpoint: Path, sentiment: Path, mentor: Path) -> None:
    """They come after the training texts, each with the mentor's logits and its label, and are trained on."""
    with_phrases = shutil.copytree(sentiment, tmp_path / "data")
    rows = [row.split("\t") for row in (sentiment / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    with (with_phrases / "train.tsv").open("a", encoding="utf-8") as file:
        file.writelines(f"{' '.join(text.split()[-3:])}\t{label}\n" for text, label in rows)
    varied = MENTOR.replace("{mentor}", str(mentor)) + "variations = 40\nseed = 5\n"
    path = write_recipe(tmp_path, shortly(SENTIMENT + varied), checkpoint)
    run = open_build(recipe_path=path, work_dir=tmp_path / "work", data_root=with_phrases)
    assert 0 < len(run.data.variations) <= 40
    assert not any("labels" in item for item in run.data.variations)
    run.train()
    taught_features = run.train_features
    assert [item["labels"] for item in taught_features[: len(run.data.train)]] == [
        item["labels"] for item in run.data.train
    ]
    own = taught_features[len(run.data.train) :]
    assert [item["input_ids"] for item in own] == [item["input_ids"] for item in run.data.variations]
    assert all(item["labels"] == item["mentor_logits"].argmax() for item in own)
    log = json.loads((tmp_path / "work" / "finetune" / "teacher" / "training.json").read_text(encoding="utf-8"))
    assert max(entry["step"] for entry in log) == -(-len(taught_features) // 8)


def test_mentor_of_its_own_seed_serves_all_seeds(
    tmp_path: Path, checkpoint: Path, sentiment: Path, mentor: Path
) -> None:
    """Without one, each seed of the recipe has its own mentor."""
    template = SENTIMENT.replace("[data]", "[data]\nholdout_seed = 1") + MENTOR.replace("{mentor}", str(mentor))

    def inputs(text: str, seed: int) -> str:
        path = write_recipe(tmp_path, text, checkpoint)
        run = open_build(recipe_path=path, work_dir=tmp_path / "work", data_root=sentiment, seed=seed)
        return json.dumps(run.mentor_inputs({}))

    assert inputs(template, 1) != inputs(template, 2)
    assert inputs(template + "seed = 5\n", 1) == inputs(template + "seed = 5\n", 2)


def test_variations_need_single_texts(tmp_path: Path, checkpoint: Path, mentor: Path) -> None:
    """Spans can't be labelled so; the error names the field."""
    with pytest.raises(RecipeError, match="mentor.variations are for single texts"):
        recipe_with_mentor(tmp_path, SPANS, checkpoint, mentor, "variations = 5\n")


def test_kept_logits_replace_the_mentor(tmp_path: Path, checkpoint: Path, sentiment: Path, mentor: Path) -> None:
    """Another build takes them from a file, without the mentor; of other examples they are refused."""
    template = shortly(SENTIMENT + MENTOR.replace("{mentor}", str(mentor)))
    first = open_build(
        recipe_path=write_recipe(tmp_path, template, checkpoint), work_dir=tmp_path / "first", data_root=sentiment
    )
    found = first.train()["training"]["mentor"]
    kept = tmp_path / "kept.npz"
    shutil.copy(tmp_path / "first" / "mentor" / LOGITS_FILE, kept)
    away = template.replace(str(mentor), "nowhere") + f'logits = "{kept}"\n'
    path = write_recipe(tmp_path, away, checkpoint)
    second = open_build(recipe_path=path, work_dir=tmp_path / "second", data_root=sentiment)
    assert second.train()["training"]["mentor"] == found
    weights = [
        (tmp_path / name / "finetune" / "teacher" / "model.safetensors").read_bytes() for name in ("first", "second")
    ]
    assert weights[0] == weights[1]
    other = open_build(recipe_path=path, work_dir=tmp_path / "other", data_root=sentiment, seed=4)
    with pytest.raises(DataError, match="of other training examples"):
        other.train()
    kept.write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot read a mentor's logits from"):
        open_build(recipe_path=path, work_dir=tmp_path / "none", data_root=sentiment).train()
