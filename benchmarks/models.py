"""The models that are measured: their dimensions, the work of one forward pass, and where their files lie."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "model_store"
LABELS = 2


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`batch` sequences of `tokens` tokens."""

    batch: int
    tokens: int

    def __str__(self) -> str:
        """As the command line takes it."""
        return f"{self.batch}x{self.tokens}"

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """ "8x128" to a shape. ValueError names what is wrong."""
        batch, cross, tokens = text.strip().partition("x")
        if not (cross and batch.isdecimal() and tokens.isdecimal() and int(batch) > 0 and int(tokens) > 0):
            raise ValueError(f"the shape {text!r} is not BATCHxTOKENS, for example 8x128")
        return cls(batch=int(batch), tokens=int(tokens))


@dataclass(frozen=True, kw_only=True)
class Model:
    """A BERT with a classification head. `package` is its name in the model store; None: random weights."""

    name: str
    label: str
    channels: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    shapes: tuple[Shape, ...]
    package: str | None = None
    positions: int = 512
    mixed_lengths: bool = False  # also measured on a stream of mixed lengths

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.channels // self.heads


def bundled(name: str) -> Path:
    """The newest version of a package in the model store."""
    from intbert.model.store import ModelStore  # not in the processes that measure peers

    return ModelStore(STORE).path(name)


@dataclass(frozen=True, kw_only=True)
class Work:
    """Integer operations (a product and a sum are two) of one forward pass."""

    full: int  # every token through every layer
    needed: int  # in the last layer only what the classifier reads


def work_of(model: Model, lengths: list[int]) -> Work:
    """Matrix products alone, attention's included; embedding, normalisation and the two logits are not counted."""
    tokens = sum(lengths)
    channels, inner = model.channels, model.intermediate
    attention = [4 * length * length * channels for length in lengths]  # scores and context
    linear_of_token = 2 * (4 * channels * channels + 2 * channels * inner)
    layer = linear_of_token * tokens + sum(attention)
    last_keys_values = 4 * channels * channels * tokens
    last_row = linear_of_token - 4 * channels * channels
    last_attention = sum(4 * length * channels for length in lengths)
    pooler = 2 * channels * channels * len(lengths)
    before = (model.layers - 1) * layer
    return Work(
        full=before + layer + pooler,
        needed=before + last_keys_values + last_row * len(lengths) + last_attention + pooler,
    )


def all_models() -> tuple[Model, ...]:
    """MiniLM-L6 with the bundled weights; the two sizes of BERT with random ones: speed does not depend on them."""
    common = tuple(Shape.parse(text) for text in ("1x16", "1x32", "1x128", "1x384", "8x32", "8x128"))
    return (
        Model(
            name="minilm",
            label="MiniLM-L6",
            channels=384,
            layers=6,
            heads=12,
            intermediate=1536,
            vocabulary=30522,
            shapes=(*common, Shape(batch=32, tokens=128)),
            package="sst2-minilm-l6",
            mixed_lengths=True,
        ),
        Model(
            name="base",
            label="BERT-base",
            channels=768,
            layers=12,
            heads=12,
            intermediate=3072,
            vocabulary=30522,
            shapes=common,
        ),
        Model(
            name="large",
            label="BERT-large",
            channels=1024,
            layers=24,
            heads=16,
            intermediate=4096,
            vocabulary=30522,
            shapes=(Shape(batch=1, tokens=128),),
        ),
    )


def find_model(name: str) -> Model:
    """By name. ValueError lists the names."""
    models = {model.name: model for model in all_models()}
    if name not in models:
        raise ValueError(f"there is no model {name!r}; choose from {', '.join(models)}")
    return models[name]


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is prepared for one model; every engine reads one of these."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """Hugging Face checkpoint with a tokenizer."""
        return self.folder / "checkpoint"

    @property
    def integer(self) -> Path:
        """Our integer program, as in a package."""
        return self.folder / "int8.safetensors"

    @property
    def onnx(self) -> Path:
        """An ordinary FP32 graph."""
        return self.folder / "fp32.onnx"

    @property
    def onnx_fused(self) -> Path:
        """The same after ONNX Runtime's offline optimiser for BERT."""
        return self.folder / "fp32-fused.onnx"

    @property
    def onnx_dynamic(self) -> Path:
        """Weights of eight bits, activations quantised at run time."""
        return self.folder / "int8-dynamic.onnx"

    @property
    def onnx_qdq(self) -> Path:
        """Static quantisation with QuantizeLinear and DequantizeLinear pairs."""
        return self.folder / "int8-qdq.onnx"

    @property
    def openvino(self) -> Path:
        """OpenVINO's FP32 representation."""
        return self.folder / "openvino-fp32" / "model.xml"

    @property
    def openvino_int8(self) -> Path:
        """The same after NNCF's post-training quantisation."""
        return self.folder / "openvino-int8" / "model.xml"

    @property
    def ctranslate2(self) -> Path:
        """CTranslate2's model folder."""
        return self.folder / "ctranslate2"

    @property
    def classifier(self) -> Path:
        """Weight and bias of the last layer, for CTranslate2, whose encoder ends at the pooler."""
        return self.folder / "classifier.npz"


def files_of(model: Model, cache: Path) -> Files:
    """The model's place in the cache."""
    return Files(folder=cache / model.name)
