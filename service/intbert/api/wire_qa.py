"""What goes over the wire at POST /qa."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from intbert.api.wire import Name, ServedModel, Usage, Wire


class QuestionInput(Wire):
    """A question and the text that may hold its answer, of any length."""

    question: str
    context: str


class QaParameters(Wire):
    """How to answer. Everything has a default; lengths are in tokens."""

    variant: Name | None = Field(default=None, description="int8 (the default), fp32, or any other.")
    model: Name | None = Field(default=None, description="Model in the store; by default the one for this task.")
    version: Name | None = Field(default=None, description="By default the newest.")
    top_k: int = Field(default=1, ge=1, le=1000, description="Number of answers to return at most.")
    max_answer_len: int = Field(default=30, ge=1, le=512, description="Longest answer.")
    overlap: int = Field(default=128, ge=0, le=512, description="Tokens that neighbouring windows share.")
    max_seq_len: int = Field(default=384, ge=16, le=8192, description="Longest window, question included.")
    max_question_len: int = Field(default=64, ge=1, le=512, description="A longer question is cut, and usage says so.")
    handle_impossible_answer: bool = Field(default=False, description='Let "no answer" be one of the answers.')
    offsets: Literal["codepoint", "utf16", "utf8"] = Field(
        default="codepoint", description="What start and end count: Python, JavaScript and Java, or bytes."
    )
    truncation: Literal["window", "error"] = Field(
        default="window", description="What to do with a context over one window: read it in windows, or refuse it."
    )
    return_digest: bool = Field(
        default=False, description="Add the SHA-256 of each input's int32 logits (integer-only variants)."
    )
    timeout_ms: int | None = Field(
        default=None, ge=1, le=3_600_000, description="Give up after this time; never longer than the server's limit."
    )


class QaRequest(Wire):
    """One question at the top, or one or many under `inputs`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "question": "When did Ada Lovelace write the letter?",
                    "context": "Ada Lovelace wrote the letter to Charles Babbage in 1843.",
                },
                {
                    "inputs": [{"question": "When?", "context": "The bridge was opened in May 1937."}],
                    "parameters": {"top_k": 2, "variant": "fp32", "offsets": "utf16"},
                },
            ]
        }
    )

    question: str | None = None
    context: str | None = None
    inputs: QuestionInput | list[QuestionInput] | None = None
    parameters: QaParameters = QaParameters()

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> "QaRequest":
        at_top = self.question is not None, self.context is not None
        if self.inputs is not None and any(at_top):
            raise ValueError("send question and context, or inputs, not both")
        if self.inputs is None and not all(at_top):
            raise ValueError("question and context are both needed, or inputs")
        return self

    def questions(self) -> list[tuple[str, str]]:
        """(question, context), one for every input."""
        if self.inputs is None:
            return [(self.question or "", self.context or "")]
        items = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [(item.question, item.context) for item in items]


class AnswerSpan(BaseModel):
    """`answer == context[start:end]` in the unit that `offsets` names."""

    answer: str
    score: float
    start: int
    end: int


class QaResponse(BaseModel):
    """One entry per input in every list."""

    results: list[list[AnswerSpan]]
    usage: list[Usage]
    model: ServedModel
    digests: list[str] | None = Field(
        default=None,
        description="With return_digest: SHA-256 of the int32 logits, window by window, all starts then all ends.",
    )
