"""The recipe of a build: one TOML file, every field documented here, unknown fields refused."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression", "span_qa"]
VariantName = Literal["dq", "ptq", "q8bert", "mp-ptq", "peg-ptq", "peg-ptq-float"]
Fraction = Annotated[float, Field(ge=0, lt=1)]
USUAL_SHAPES = ("1x32", "1x128", "8x128")
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class Section(BaseModel):
    """A table of the recipe: immutable, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSection(Section):
    """What is built, and from which checkpoint."""

    name: str = Field(pattern=NAME_PATTERN, description="Name of the package in the store.")
    version: int = Field(default=1, ge=1, description="Version of the package: its folder below the name.")
    description: str = Field(default="", description="One sentence for the card.")
    backbone: str = Field(
        description="Checkpoint: a hub name, a local directory, or `package:MODULE/FOLDER` inside an installed package."
    )
    backbone_revision: str | None = Field(default=None, description="Revision of a hub checkpoint.")
    licences: dict[str, str] = Field(default={}, description="Licence of each ingredient, e.g. backbone, data.")
    problem_type: ProblemType = Field(default="single_label_classification", description="Task and loss.")
    labels: tuple[str, ...] = Field(
        default=(), description="Label names, in the order of the logits; empty: inferred from the training data."
    )
    tokens_max: int = Field(default=512, ge=8, description="Longest sequence that the package accepts, in tokens.")


class Columns(Section):
    """Columns of a table: names, or zero-based numbers in a file without header."""

    text: str | int = Field(default="text", description="Column of the (first) text.")
    text_pair: str | int | None = Field(default=None, description="Column of the second text of a pair.")
    label: str | int = Field(default="label", description="Column of the label or score.")


class DataSection(Section):
    """Where examples come from. Paths are relative to the data root (`--data`)."""

    source: Literal["files", "hub"] = Field(default="files", description="Local files, or a hub data set.")
    data_root: str = Field(default=".", description="Root of relative paths; `--data` wins over it.")
    train: tuple[str, ...] = Field(min_length=1, description="Training files, or one hub split.")
    dev: tuple[str, ...] = Field(
        min_length=1, description="Files (or split) that accuracy is reported on; never trained on."
    )
    format: Literal["tsv", "csv", "jsonl", "squad"] = Field(default="tsv", description="Format of the files.")
    hub_name: str | None = Field(default=None, description="Name of the hub data set when `source` is `hub`.")
    hub_config: str | None = Field(
        default=None, description="Configuration of the hub data set, e.g. `sst2` of `glue`."
    )
    header: bool = Field(default=True, description="The first line of a TSV or CSV file names its columns.")
    quoting: Literal["none", "minimal"] = Field(
        default="none", description="`none`: a double quote is an ordinary character (GLUE); `minimal`: CSV rules."
    )
    columns: Columns = Field(default=Columns(), description="Which columns hold text and label.")
    label_values: dict[str, str] = Field(
        default={},
        description="What the label column holds -> label name; empty: the values are names or label numbers.",
    )
    label_separator: str = Field(default="|", description="Separates the labels of a multi-label row.")
    holdout_fraction: Fraction = Field(
        default=0.02, description="Part of the training data held out to choose checkpoints on, drawn with the seed."
    )
    holdout_seed: int | None = Field(
        default=None, ge=0, description="Seed of the held-out part, to compare models of several seeds; none: the seed."
    )
    holdout_apart: bool = Field(
        default=False,
        description="Hold out whole texts, and leave out of training what is a part of one or repeats one "
        "(not for span QA, where whole paragraphs are held out).",
    )
    train_examples_max: int | None = Field(default=None, ge=1, description="Use only so many training examples.")
    dev_examples_max: int | None = Field(default=None, ge=1, description="Report on only so many dev examples.")

    @model_validator(mode="after")
    def _hub_needs_name(self) -> Self:
        if (self.source == "hub") != (self.hub_name is not None):
            raise ValueError('`hub_name` is required with source = "hub" and meaningless otherwise')
        return self


class SpanSection(Section):
    """Windows of span QA."""

    window_tokens: int = Field(default=384, ge=16, description="Length of a window, question included.")
    overlap_tokens: int = Field(default=128, ge=0, description="Context tokens that neighbouring windows share.")
    question_tokens_max: int = Field(default=64, ge=4, description="Longer questions are cut.")
    answer_tokens_max: int = Field(default=30, ge=1, description="Longest answer span, for evaluation.")
    mismatched_fraction: Fraction = Field(
        default=0.0,
        description="Training questions that are asked once more, of a paragraph nearby without the answer "
        "(from weight averaging on, where `finetune.average` is given).",
    )
    crop_fraction: Fraction = Field(
        default=0.0,
        description="Training questions that keep only a random part of their context, with the answer in it.",
    )

    @model_validator(mode="after")
    def _window_has_room(self) -> Self:
        if self.window_tokens - self.question_tokens_max - 3 <= self.overlap_tokens:
            raise ValueError("window_tokens must exceed question_tokens_max + overlap_tokens + 3 special tokens")
        return self


class AverageSection(Section):
    """Stochastic weight averaging (Izmailov et al. 2018): training goes on at a constant rate, and the mean is kept."""

    epochs: float = Field(default=1.0, gt=0, description="Passes over the training data.")
    learning_rate: float = Field(default=5e-5, gt=0, description="Constant learning rate, after a short warm-up.")
    every_steps: int = Field(default=20, ge=1, description="Steps between the weights that enter the mean.")


class MemberSection(Section):
    """One of several trainings whose weights are averaged."""

    seed: int = Field(
        ge=0, description="Seed of the order of examples, of dropout, and of what is drawn from the data."
    )
    epochs: float | None = Field(
        default=None, ge=0, description="`finetune.epochs` of this one; none: the recipe's, 0: the checkpoint as it is."
    )
    backbone: str | None = Field(
        default=None,
        description="`model.backbone` of this one, such as what another recipe ended with; none: the recipe's.",
    )
    crop_fraction: Fraction | None = Field(
        default=None, description="`span.crop_fraction` of this one; none: the recipe's."
    )
    files: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Those of `data.train` that this one is trained on (span QA); none: all.",
    )


class FinetuneSection(Section):
    """Fine-tuning of the FP32 teacher."""

    epochs: float = Field(
        default=3.0, ge=0, description="Passes over the training data; 0 takes the checkpoint as it is."
    )
    learning_rate: float = Field(default=5e-5, gt=0, description="Peak learning rate of AdamW; decays linearly to 0.")
    warmup_fraction: Fraction = Field(default=0.06, description="Part of the steps with rising learning rate.")
    batch_examples: int = Field(default=32, ge=1, description="Examples a step.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay.")
    dropout: Fraction = Field(default=0.1, description="Dropout of hidden states.")
    attention_dropout: Fraction = Field(
        default=0.0,
        description="Dropout of attention weights; above 0 long texts take a CPU several times as long.",
    )
    tokens_max: int = Field(
        default=128, ge=8, description="Training texts are cut to so many tokens (not for span QA)."
    )
    pad_multiple: int = Field(
        default=16, ge=1, description="Lengths are padded to multiples: bounds the shapes a CPU compiles."
    )
    bf16: bool = Field(default=True, description="bfloat16 autocast on a CPU that has it, or a GPU.")
    checkpoint_steps: int = Field(default=500, ge=1, description="Steps between checkpoints and held-out evaluations.")
    mentor_weight: Fraction = Field(
        default=0.5, description="Share of the loss that follows the mentor's logits, where there is a mentor."
    )
    mentor_temperature: float = Field(default=2.0, gt=0, description="Temperature of both distributions in it.")
    average: AverageSection | None = Field(default=None, description="Weight averaging after training; none: without.")
    members: tuple[MemberSection, ...] = Field(
        default=(),
        description="Several trainings, each with a seed of its own, whose weights are averaged; "
        "empty: one, with the recipe's seed.",
    )


class MentorSection(Section):
    """A larger model that is trained first, on the same data, for the FP32 model to follow."""

    backbone: str = Field(
        description="Checkpoint of any architecture with the word pieces of `model.backbone`; names as there."
    )
    backbone_revision: str | None = Field(default=None, description="Revision of a hub checkpoint.")
    epochs: float = Field(
        default=1.0, ge=0, description="Passes over the training data; 0 takes the checkpoint as it is."
    )
    learning_rate: float = Field(default=3e-5, gt=0, description="Peak learning rate; decays linearly to 0.")
    warmup_fraction: Fraction = Field(default=0.06, description="Part of the steps with rising learning rate.")
    batch_examples: int = Field(default=32, ge=1, description="Examples a step.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay.")
    dropout: Fraction = Field(default=0.1, description="Dropout of hidden states.")
    bf16: bool = Field(default=True, description="bfloat16 autocast on a CPU that has it, or a GPU.")
    checkpoint_steps: int = Field(default=500, ge=1, description="Steps between checkpoints and held-out evaluations.")
    logits: str | None = Field(
        default=None,
        description="What it said in an earlier build, that build's `mentor/logits.npz`; it is then not loaded.",
    )
    seed: int | None = Field(
        default=None, ge=0, description="Seed of its training; none: the recipe's, so another mentor for each seed."
    )
    variations: int = Field(
        default=0,
        ge=0,
        description="New texts, put together from parts of the training texts, which the mentor labels and the FP32 "
        "model learns too (single texts with one label).",
    )


class QuantiseSection(Section):
    """Calibration and quantisation-aware training with distillation from the teacher."""

    calibration_examples: int = Field(
        default=512, ge=1, description="Training examples that activation ranges come from."
    )
    epochs: float = Field(default=1.0, ge=0, description="Passes over the training data; 0: calibration alone.")
    learning_rate: float = Field(default=5e-5, gt=0, description="Peak learning rate; decays linearly to 0.")
    warmup_fraction: Fraction = Field(default=0.05, description="Part of the steps with rising learning rate.")
    batch_examples: int = Field(default=32, ge=1, description="Examples a step.")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW weight decay.")
    task_weight: float = Field(default=0.3, ge=0, description="Weight of the loss against the labels.")
    logit_weight: float = Field(default=1.0, ge=0, description="Weight of the loss against the teacher's logits.")
    hidden_weight: float = Field(
        default=1.0, ge=0, description="Weight of the loss against the teacher's hidden states."
    )
    temperature: float = Field(default=2.0, gt=0, description="Temperature of the logits' distillation.")
    frozen_fraction: Fraction = Field(
        default=0.25, description="Last part of training, in which ranges no longer move."
    )
    train_embeddings: bool = Field(default=False, description="Train the embedding tables too.")
    bf16: bool = Field(
        default=True, description="Matrix products in bfloat16 (the teacher's too), where the processor has it."
    )
    checkpoint_steps: int = Field(default=500, ge=1, description="Steps between checkpoints.")


class Q8bertSection(Section):
    """Quantisation-aware training of the variant `q8bert`, from the fine-tuned teacher on."""

    epochs: float = Field(default=1.0, gt=0, description="Passes over the training data.")
    learning_rate: float = Field(default=2e-5, gt=0, description="Peak learning rate; decays linearly to 0.")
    warmup_fraction: Fraction = Field(default=0.1, description="Part of the steps with rising learning rate.")
    batch_examples: int = Field(default=16, ge=1, description="Examples a step.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay.")
    dropout: Fraction = Field(default=0.1, description="Dropout of hidden states.")
    ema_decay: Fraction = Field(
        default=0.9999, description="Decay of the moving average of activation ranges; the first batch sets them."
    )
    rounded_outputs: Literal["query_key", "all"] = Field(
        default="query_key",
        description="Linear layers whose outputs are rounded too: `query_key` as in the authors' configuration.",
    )
    weight_scales: Literal["tensor", "output"] = Field(
        default="tensor",
        description="One scale for all of a matrix, as in the paper, or one for each of its outputs.",
    )
    channel_factors: bool = Field(
        default=False,
        description="Divide outlier channels by powers of two before they are rounded, which the paper has not.",
    )
    logit_weight: float = Field(
        default=0.0, ge=0, description="Weight of a loss against the teacher's logits, which the paper has not."
    )
    hidden_weight: float = Field(
        default=0.0, ge=0, description="Weight of a loss against the teacher's hidden states, which the paper has not."
    )
    bf16: bool = Field(default=True, description="Matrix products of training in bfloat16, where the processor has it.")
    checkpoint_steps: int = Field(default=500, ge=1, description="Steps between checkpoints.")


class ReportSection(Section):
    """What is measured for the card, and the gate."""

    gate_metric: str | None = Field(
        default=None, description="Metric that the package's gate is about; none: the task's main metric."
    )
    gate_allowed_drop: float = Field(default=0.7, description="Points that int8 may lose against FP32 on the dev data.")
    verify_texts: int = Field(default=200, ge=1, description="Dev examples whose int32 logits must agree everywhere.")
    bench_shapes: tuple[Annotated[str, Field(pattern=r"^[1-9]\d*x[1-9]\d*$")], ...] | None = Field(
        default=None,
        description="Shapes of the latency measurement, sequences x tokens; "
        "none: 1x32, 1x128 and 8x128 as far as the model takes them.",
    )
    error_texts: int = Field(default=64, ge=1, description="Dev examples for the error of each layer.")
    elsewhere: tuple[str, ...] = Field(
        default=(),
        description="Files (or splits) of other domains in the format of `data`; reported on, never trained on.",
    )
    licences: dict[str, str] = Field(default={}, description="Licence of each file of `elsewhere`.")


class Recipe(Section):
    """A whole recipe."""

    seed: int = Field(default=0, ge=0, description="Seed of the split, of initialisation and of the order of examples.")
    variants: tuple[VariantName, ...] = Field(
        default=(), description="Variants that the package holds beside `fp32` and `int8` (see below)."
    )
    model: ModelSection
    data: DataSection
    span: SpanSection = SpanSection()
    mentor: MentorSection | None = Field(
        default=None, description="A larger model whose outputs guide fine-tuning; none: without."
    )
    finetune: FinetuneSection = FinetuneSection()
    quantise: QuantiseSection = QuantiseSection()
    q8bert: Q8bertSection = Q8bertSection()
    report: ReportSection = ReportSection()

    @model_validator(mode="after")
    def _format_fits_task(self) -> Self:
        if (self.model.problem_type == "span_qa") != (self.data.format == "squad"):
            raise ValueError('problem_type "span_qa" and data format "squad" go together')
        if self.model.problem_type in ("regression", "span_qa") and self.model.labels:
            raise ValueError(f"labels are meaningless for problem_type {self.model.problem_type!r}")
        return self

    @model_validator(mode="after")
    def _variations_fit_task(self) -> Self:
        single = self.model.problem_type == "single_label_classification" and self.data.columns.text_pair is None
        if self.mentor is not None and self.mentor.variations and not single:
            raise ValueError("mentor.variations are for single texts with one label; leave them out")
        return self

    @model_validator(mode="after")
    def _members_can_be_averaged(self) -> Self:
        seeds = [member.seed for member in self.finetune.members]
        if len(set(seeds)) != len(seeds):
            raise ValueError("finetune.members must have seeds that differ from each other")
        if self.model.problem_type == "span_qa" and self.mentor is not None and seeds:
            raise ValueError("finetune.members of span_qa draw their own questions and cannot follow a mentor")
        files = [name for member in self.finetune.members for name in member.files or ()]
        if files and self.model.problem_type != "span_qa":
            raise ValueError("finetune.members.files are for span_qa; leave them out")
        if unknown := sorted(set(files) - set(self.data.train)):
            raise ValueError(f"finetune.members.files must be among data.train, and {unknown} are not")
        return self

    @model_validator(mode="after")
    def _elsewhere_is_elsewhere(self) -> Self:
        files = self.report.elsewhere
        if len({*files, *self.data.train, *self.data.dev}) < len(files) + len({*self.data.train, *self.data.dev}):
            raise ValueError("report.elsewhere names a file twice, or one of data.train or data.dev")
        if unknown := sorted(set(self.report.licences) - set(files)):
            raise ValueError(f"report.licences names {unknown}, not in report.elsewhere")
        return self

    @model_validator(mode="after")
    def _variants_differ(self) -> Self:
        if len(set(self.variants)) != len(self.variants):
            raise ValueError("variants must differ from each other")
        return self

    @model_validator(mode="after")
    def _shapes_fit_model(self) -> Self:
        for shape in self.report.bench_shapes or ():
            if _tokens(shape) > self.model.tokens_max:
                raise ValueError(
                    f"report.bench_shapes: {shape} is longer than model.tokens_max = {self.model.tokens_max}; "
                    "choose a shorter shape"
                )
        return self

    @property
    def holdout_seed(self) -> int:
        """What the held-out part of the training data is drawn with."""
        return self.seed if self.data.holdout_seed is None else self.data.holdout_seed

    @property
    def shapes_to_bench(self) -> tuple[str, ...]:
        """`report.bench_shapes`, or the usual ones that the model takes (the shortest cut down when it takes none)."""
        if self.report.bench_shapes is not None:
            return self.report.bench_shapes
        fitting = tuple(shape for shape in USUAL_SHAPES if _tokens(shape) <= self.model.tokens_max)
        return fitting or (f"1x{self.model.tokens_max}",)


def _tokens(shape: str) -> int:
    return int(shape.partition("x")[2])
