"""Several trainings and the mean of their weights."""

import tomllib
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from intbert.builder.build import Build
from intbert.builder.card import member_of
from intbert.builder.failure import BackboneError, RecipeError
from intbert.builder.members import average_checkpoints, recipe_of
from intbert.builder.pipeline import open_build
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import parse_recipe, smoke
from intbert.model.manifest import Member
from tests.builder.tiny_recipes import SENTIMENT, SPANS, write_recipe

TRAINED_AND_UNTRAINED = "members = [{ seed = 5, epochs = 0.3 }, { seed = 6, epochs = 0 }]"


def with_members(template: str, members: str) -> str:
    """The template of a recipe with members."""
    return template.replace("[finetune]\n", f"[finetune]\n{members.replace('{', '{{').replace('}', '}}')}\n")


def parsed(template: str, members: str) -> Recipe:
    """The recipe with members."""
    return parse_recipe(tomllib.loads(with_members(template, members).format(checkpoint="c")), "test")


def opened(template: str, members: str, folder: Path, checkpoint: Path, data: Path) -> Build:
    """A build of it in the folder."""
    path = write_recipe(folder, with_members(template, members), checkpoint)
    return open_build(recipe_path=path, work_dir=folder / "work", data_root=data, progress=False)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of a teacher."""
    return load_file(folder / "teacher" / "model.safetensors")


def test_the_teacher_is_the_mean_of_members_that_began_alike(tmp_path: Path, checkpoint: Path, sentiment: Path) -> None:
    """Their new heads are those of the recipe's seed, whatever a member's own; one of no epochs stays as it began."""
    run = opened(SENTIMENT, TRAINED_AND_UNTRAINED, tmp_path, checkpoint, sentiment)
    run.stages.run("finetune", {}, run.finetune)
    folder = tmp_path / "work" / "finetune"
    trained, untrained = weights(folder / "seed-5"), weights(folder / "seed-6")
    for name, mean in weights(folder).items():
        assert torch.allclose(mean, (trained[name] + untrained[name]) / 2, atol=1e-7)
    head, first_head = trained["classifier.weight"], untrained["classifier.weight"]
    assert 0 < float((head - first_head).norm()) < 0.5 * float(first_head.norm())


def test_a_member_may_be_what_another_recipe_ended_with(tmp_path: Path, checkpoint: Path, sentiment: Path) -> None:
    """With no epochs of its own it enters the mean as it is; its head too."""
    first = opened(SENTIMENT, "members = [{ seed = 5, epochs = 0.3 }]", tmp_path, checkpoint, sentiment)
    first.finetune(tmp_path / "first")
    ended = weights(tmp_path / "first")
    other = f"{{ seed = 7, epochs = 0, backbone = '{tmp_path / 'first' / 'teacher'}' }}"
    members = f"members = [{{ seed = 6, epochs = 0 }}, {other}]"
    run = opened(SENTIMENT, members, tmp_path, checkpoint, sentiment)
    run.finetune(tmp_path / "work")
    untrained = weights(tmp_path / "work" / "seed-6")
    assert not torch.equal(ended["classifier.weight"], untrained["classifier.weight"])
    for name, mean in weights(tmp_path / "work").items():
        assert torch.allclose(mean, (ended[name] + untrained[name]) / 2, atol=1e-7)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    """The error names the tensor and both shapes."""
    for name, rows in (("one", 2), ("other", 3)):
        (tmp_path / name).mkdir()
        save_file({"a": torch.zeros(2, 2), "b": torch.zeros(rows, 2)}, tmp_path / name / "model.safetensors")
    with pytest.raises(BackboneError, match="other cannot be averaged .*: b is 3x2 and 2x2"):
        average_checkpoints([tmp_path / "one", tmp_path / "other"], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_finished_member_is_not_trained_again(tmp_path: Path, checkpoint: Path, questions: Path) -> None:
    """After an interruption of the stage; members of span models draw their own questions."""
    run = opened(SPANS, TRAINED_AND_UNTRAINED, tmp_path, checkpoint, questions)
    said: list[str] = []
    run.stages.say = said.append
    folder = tmp_path / "work" / "finetune"
    run.train_member(run.recipe.finetune.members[0], folder / "seed-5")
    run.finetune(folder)
    assert [line for line in said if "member with" in line] == [f"finetune: member with seed {seed}" for seed in (5, 6)]
    assert weights(folder).keys() == weights(folder / "seed-6").keys()
    assert [path.parent.parent.name for path in sorted(folder.rglob("training.json"))] == ["seed-5", "seed-6"]


def test_a_member_has_its_own_seed_epochs_and_crops_but_the_same_data_held_out() -> None:
    """What it does not say is the recipe's."""
    recipe = parsed(SPANS, "members = [{ seed = 5, epochs = 0.5, crop_fraction = 0.25 }, { seed = 6 }]")
    first, second = (recipe_of(recipe, member) for member in recipe.finetune.members)
    assert (first.seed, first.finetune.epochs, first.span.crop_fraction) == (5, 0.5, 0.25)
    assert (second.seed, second.finetune.epochs, second.span.crop_fraction) == (6, recipe.finetune.epochs, 0.0)
    assert first.holdout_seed == second.holdout_seed == recipe.seed


def test_the_card_says_what_each_member_began_with(tmp_path: Path) -> None:
    """Seed, checkpoint and the hash of its weights; of a hub name there is none."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    recipe = parsed(SENTIMENT, f"members = [{{ seed = 5, backbone = '{tmp_path}' }}, {{ seed = 6 }}]")
    own, of_recipe = (member_of(recipe_of(recipe, member)) for member in recipe.finetune.members)
    assert own == Member(seed=5, base_model=str(tmp_path), base_model_sha256=sha256(b"weights").hexdigest())
    assert of_recipe == Member(seed=6, base_model=recipe.model.backbone)


def test_a_smoke_recipe_trains_every_member_on_what_examples_there_are() -> None:
    """Its few examples may all be of another file than a member's."""
    recipe = parsed(SPANS, "members = [{ seed = 5 }]")
    (name,) = recipe.data.train
    listed = parsed(SPANS, f"members = [{{ seed = 5, files = ['{name}'] }}]")
    assert [member.files for member in listed.finetune.members] == [(name,)]
    assert [member.files for member in smoke(listed).finetune.members] == [None]


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (with_members(SENTIMENT, "members = [{ seed = 5 }, { seed = 5 }]"), "seeds that differ"),
        (with_members(SENTIMENT, 'members = [{ seed = 5, files = ["train.tsv"] }]'), "are for span_qa"),
        (with_members(SPANS, 'members = [{ seed = 5, files = ["b.json"] }]'), r"\['b.json'\] are not"),
        (with_members(SPANS, "members = [{ seed = 5 }]") + '[mentor]\nbackbone = "m"\n', "cannot follow a mentor"),
    ],
)
def test_wrong_members_are_refused(template: str, complaint: str) -> None:
    """The error says why."""
    with pytest.raises(RecipeError, match=complaint):
        parse_recipe(tomllib.loads(template.format(checkpoint="c")), "test")
