"""From a package back to a checkpoint: the FP32 variant's weights as a BERT that transformers loads and trains."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from intbert.builder.card import FP32
from intbert.builder.failure import BuildError
from intbert.builder.families import with_pooler_activation
from intbert.model.manifest import TOKENIZER_FILE
from intbert.model.package import Package

SPECIAL_TOKENS = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


def save_checkpoint(package: Package, folder: Path) -> Path:
    """Write config.json, model.safetensors and the tokenizer's files to `folder`, which is returned.

    The weights are the file's: where it stores half precision, they are the original's rounded to it. A RoBERTa or
    DistilBERT is written as the BERT that it became (builder/families.py). Raises BuildError when the graph is not
    the builder's own.
    """
    restore_teacher(package).save_pretrained(folder)
    restore_tokenizer(package).save_pretrained(folder)
    return folder


def restore_teacher(package: Package) -> PreTrainedModel:
    """The package's FP32 variant as a model ready to evaluate. Raises BuildError when the graph is not our own."""
    import onnx

    graph = onnx.load_from_string(package.onnx(FP32)).graph
    kind: Any = (
        BertForQuestionAnswering if package.manifest.task == "question-answering" else BertForSequenceClassification
    )
    model: PreTrainedModel = with_pooler_activation(kind(_config(package, graph)))
    weights = dict(_weights(graph, model))
    missing = sorted(set(model.state_dict()) - set(weights))
    if missing:
        raise BuildError(
            f"{package.directory}: the FP32 graph has no tensor {missing[0]!r} (of {len(missing)} that are missing); "
            "only a graph that `intbert build` wrote can be turned into a checkpoint"
        )
    model.load_state_dict(weights)
    model.eval()
    return model


def restore_tokenizer(package: Package) -> PreTrainedTokenizerFast:
    """The package's tokenizer as transformers knows it."""
    inner = Tokenizer.from_buffer(package.read(TOKENIZER_FILE))
    named = {
        role: token
        for role, spellings in SPECIAL_TOKENS.items()
        for token in spellings
        if inner.token_to_id(token) is not None
    }
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=package.manifest.max_tokens, **named)


def _config(package: Package, graph: Any) -> BertConfig:
    manifest, shape = package.manifest, package.manifest.architecture
    more: dict[str, Any] = {
        "pooler_activation": "relu" if any(node.op_type == "Relu" for node in graph.node) else "tanh",
        "source_family": shape.family,
    }
    if manifest.task == "text-classification":
        more |= {
            "problem_type": manifest.problem_type,
            "id2label": dict(enumerate(manifest.labels)),
            "label2id": {name: number for number, name in enumerate(manifest.labels)},
        }
    return BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.channels,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.positions,
        type_vocab_size=shape.token_types,
        layer_norm_eps=_epsilon(graph),
        **more,
    )


def _epsilon(graph: Any) -> float:
    """Of the first LayerNorm: all of a BERT have the same."""
    for node in graph.node:
        if node.op_type == "LayerNormalization":
            return next(float(item.f) for item in node.attribute if item.name == "epsilon")
    raise BuildError(
        "the FP32 graph has no LayerNormalization; only a graph that `intbert build` wrote can be restored"
    )


def _weights(graph: Any, model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """The parameters of `model` that the graph stores under their own names, FP32."""
    import onnx

    names = set(model.state_dict())
    for item in graph.initializer:
        if item.name in names:
            values: NDArray[np.float32] = np.array(onnx.numpy_helper.to_array(item), dtype=np.float32)
            yield item.name, torch.from_numpy(np.ascontiguousarray(values.T if _is_matrix(item.name) else values))


def _is_matrix(name: str) -> bool:
    """Whether the graph stores it as (inputs, outputs), the other way round than torch."""
    return name.endswith(".weight") and "embeddings" not in name and "LayerNorm" not in name
