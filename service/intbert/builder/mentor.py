"""The mentor: a larger model, trained on the same data, whose outputs the FP32 model follows (Hinton et al. 2015).

It reads the very tokens of the model that it guides, between its own special ones; so both must split texts into the
same word pieces, and each of its logits belongs to a token. It may have any architecture that transformers loads. Its
logits of all training examples are computed once and kept; it is never part of a package.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from intbert.builder.backbone import locate
from intbert.builder.batches import ShufflingTrainer
from intbert.builder.bfloat16 import in_bfloat16
from intbert.builder.failure import BackboneError
from intbert.builder.features import Feature, padding_collator
from intbert.builder.memory import check_memory
from intbert.builder.mentor_logits import MentorLogits
from intbert.builder.recipe import MentorSection, Recipe
from intbert.builder.training_arguments import section_arguments, selection_metric
from intbert.builder.training_log import Say, report_to

PREDICT_TOKENS = 8192  # a batch: many, since a CPU rounds all weights anew for each
ROLES = ("cls_token_id", "sep_token_id", "unk_token_id", "mask_token_id")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The special tokens around one text or two."""

    before: list[int]
    between: list[int]
    after: list[int]
    pair_types: bool  # the second text has token type 1

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> Self:
        """As the tokenizer writes them around a pair."""
        encoded = tokenizer("a", "a")
        ids, owners = encoded["input_ids"], encoded.sequence_ids(0)
        first, second = owners.index(0), owners.index(1)
        first_end = max(place for place, owner in enumerate(owners) if owner == 0) + 1
        second_end = max(place for place, owner in enumerate(owners) if owner == 1) + 1
        return cls(
            before=ids[:first],
            between=ids[first_end:second],
            after=ids[second_end:],
            pair_types="token_type_ids" in tokenizer.model_input_names,
        )


class Translation:
    """From the features of one tokenizer to those of another with the same word pieces."""

    def __init__(self, ours: PreTrainedTokenizerFast, theirs: PreTrainedTokenizerFast) -> None:
        self._ours, self._from, self._to = ours, Frame.of(ours), Frame.of(theirs)
        vocabulary = theirs.get_vocab()
        self._ids: dict[int, int] = {
            number: vocabulary[token] for token, number in ours.get_vocab().items() if token in vocabulary
        }
        self._ids |= {
            getattr(ours, role): getattr(theirs, role) for role in ROLES if getattr(ours, role, None) is not None
        }

    def __call__(self, feature: Feature) -> tuple[Feature, list[int]]:
        """The other tokenizer's input_ids, attention_mask and, where it has them, token_type_ids; labels as they are.

        With it, for each of our tokens, its place among theirs; positions of answers are given in theirs.
        Raises BackboneError for a token that the other tokenizer lacks.
        """
        ids = feature["input_ids"]
        start, end = len(self._from.before), len(ids) - len(self._from.after)
        split = _find(ids, self._from.between, start, end)
        first, second = ids[start:split], ids[split + len(self._from.between) : end]
        head = [*self._to.before, *map(self._theirs, first)]
        tail = [*self._to.between, *map(self._theirs, second)] if split < end else []
        theirs = [*head, *tail, *self._to.after]
        behind = len(head) + len(tail)
        places = [
            *[0] * start,
            *range(len(self._to.before), len(head)),
            *([len(head)] * len(self._from.between) if tail else []),
            *range(len(head) + len(self._to.between), behind),
            *[behind] * len(self._from.after),
        ]
        translated: Feature = {"input_ids": theirs, "attention_mask": [1] * len(theirs)}
        if self._to.pair_types:
            first_types = len(head) + (len(self._to.between) if tail else len(self._to.after))
            translated["token_type_ids"] = [int(place >= first_types) for place in range(len(theirs))]
        for name in ("start_positions", "end_positions"):
            if name in feature:
                translated[name] = places[feature[name]]
        if "labels" in feature:
            translated["labels"] = feature["labels"]
        return translated, places

    def _theirs(self, number: int) -> int:
        if number not in self._ids:
            token = self._ours.convert_ids_to_tokens(number)
            raise BackboneError(
                f"mentor.backbone: its vocabulary has no {token!r}; a mentor needs the word pieces of model.backbone"
            )
        return self._ids[number]


def train_mentor(
    recipe: Recipe,
    section: MentorSection,
    *,
    labels: tuple[str, ...],
    tokenizer: PreTrainedTokenizerFast,
    train: Sequence[Feature],
    variations: Sequence[Feature] = (),
    holdout: Sequence[Feature],
    folder: Path,
    progress: bool,
    say: Say,
) -> MentorLogits:
    """Train the mentor, and what it then says of `train` and, after that, of `variations`.

    Training goes on from the last checkpoint in `folder`, if there is one. Raises BackboneError, MemoryShortageError.
    """
    if section.seed is not None:
        recipe = recipe.model_copy(update={"seed": section.seed})
    set_seed(recipe.seed)
    theirs = load_mentor_tokenizer(section)
    translation = Translation(tokenizer, theirs)
    inputs = [translation(feature) for feature in train]
    model = load_mentor(recipe, section, labels)
    bf16 = in_bfloat16(section.bf16)
    longest = max(len(item["input_ids"]) for item, _ in inputs)
    check_memory(model, section.batch_examples, longest, bf16=bf16)
    checkpoints = folder / "checkpoints"
    trainer = ShufflingTrainer(
        model=model,
        args=section_arguments(
            recipe,
            section,
            checkpoints,
            evaluate=bool(holdout),
            progress=progress,
            examples=len(train),
            bf16=bf16,
        ),
        train_dataset=[item for item, _ in inputs],
        eval_dataset=[translation(feature)[0] for feature in holdout] or None,
        data_collator=padding_collator(theirs, recipe.finetune.pad_multiple),
        processing_class=theirs,
        compute_metrics=selection_metric(recipe.model.problem_type),
    )
    report_to(trainer, "mentor", say, progress=progress)
    if section.epochs > 0:
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    found = trainer.evaluate() if holdout else {}
    say("mentor: predicting")
    inputs += [translation(feature) for feature in variations]
    logits = predict(model, theirs, inputs, pad_multiple=recipe.finetune.pad_multiple, bf16=bf16)
    metrics = {name.removeprefix("eval_"): found[name] for name in ("eval_loss", "eval_accuracy") if name in found}
    return MentorLogits.of([*train, *variations], logits, metrics)


def load_mentor_tokenizer(section: MentorSection) -> PreTrainedTokenizerFast:
    """The mentor's fast tokenizer. Raises BackboneError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(locate(section.backbone), revision=section.backbone_revision)
    except (OSError, ValueError) as error:
        raise BackboneError(f"cannot load mentor.backbone {section.backbone!r}: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BackboneError(f"mentor.backbone {section.backbone!r} has no tokenizer.json; a fast tokenizer is needed")
    return tokenizer


def load_mentor(recipe: Recipe, section: MentorSection, labels: tuple[str, ...]) -> PreTrainedModel:
    """The mentor with a head for the recipe's task, newly initialised where the checkpoint has none."""
    source, spans = locate(section.backbone), recipe.model.problem_type == "span_qa"
    task = {} if spans else {"num_labels": len(labels or ("score",)), "problem_type": recipe.model.problem_type}
    config = AutoConfig.from_pretrained(source, revision=section.backbone_revision, **task)
    for name, value in (
        ("hidden_dropout_prob", section.dropout),
        ("dropout", section.dropout),
        ("attention_probs_dropout_prob", 0.0),
        ("attention_dropout", 0.0),
    ):
        if hasattr(config, name):
            setattr(config, name, value)
    kind: Any = AutoModelForQuestionAnswering if spans else AutoModelForSequenceClassification
    model: PreTrainedModel = kind.from_pretrained(
        source, config=config, revision=section.backbone_revision, ignore_mismatched_sizes=True
    )
    return model


def predict(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    inputs: Sequence[tuple[Feature, list[int]]],
    *,
    pad_multiple: int,
    bf16: bool,
) -> NDArray[Any]:
    """Logits of translated features, in their order; of spans at the places of our tokens, one after another."""
    collate = padding_collator(tokenizer, pad_multiple)
    found: dict[int, NDArray[Any]] = {}
    model.eval()
    for part in _batches([len(item["input_ids"]) for item, _ in inputs]):
        batch = collate([_model_inputs(inputs[index][0]) for index in part])
        with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            outputs = model(**{name: value.to(model.device) for name, value in batch.items()})
        for row, index in enumerate(part):
            found[index] = _logits(outputs, row, inputs[index][1])
    rows = [found[index] for index in range(len(inputs))]
    return np.concatenate(rows) if hasattr(outputs, "start_logits") else np.stack(rows)


def guided_features(features: Sequence[Feature], logits: NDArray[Any], *, spans: bool) -> list[Feature]:
    """The features with what the mentor said of each: (labels,), or (tokens, 2) start and end logits.

    A text without a label gets the mentor's.
    """
    if not spans:
        return [
            {"labels": int(row.argmax()), **item, "mentor_logits": row}
            for item, row in zip(features, logits, strict=True)
        ]
    ends = np.cumsum([len(item["input_ids"]) for item in features])
    return [{**item, "mentor_logits": rows} for item, rows in zip(features, np.split(logits, ends[:-1]), strict=True)]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of sequences, longest first, padded to at most PREDICT_TOKENS a batch."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    while order:
        count = max(1, PREDICT_TOKENS // lengths[order[0]])
        yield order[:count]
        order = order[count:]


def _model_inputs(feature: Mapping[str, Any]) -> Feature:
    return {name: feature[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in feature}


def _logits(outputs: Any, row: int, places: list[int]) -> NDArray[Any]:
    if not hasattr(outputs, "start_logits"):
        logits: NDArray[Any] = outputs.logits[row].float().cpu().numpy()
        return logits
    both = torch.stack((outputs.start_logits[row], outputs.end_logits[row]), dim=-1)
    spans: NDArray[Any] = both[places].float().cpu().numpy()
    return spans


def _find(ids: Sequence[int], wanted: Sequence[int], start: int, end: int) -> int:
    """Where `wanted` begins in ids[start:end]; `end` where it doesn't occur."""
    for place in range(start, end - len(wanted) + 1):
        if ids[place : place + len(wanted)] == wanted:
            return place
    return end
