"""Where the linear layers of a Hugging Face BERT read and write in the graph (`fp32_graph.sites`)."""

LAYER_PREFIX = "bert.encoder.layer."
HEADS = {"bert.pooler.dense": ("first_token", "pooler"), "classifier": ("tanh", "logits")}
LAYER_INPUTS = {
    "attention.output.dense": "context",
    "intermediate.dense": "attention_norm",
    "output.dense": "gelu",
}
LAYER_OUTPUTS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attention_output",
    "intermediate.dense": "ffn_input",
    "output.dense": "ffn_output",
}


def input_site(linear: str, layers: int) -> str:
    """The site whose tensor the linear layer of that name reads, in a model of so many layers."""
    if linear in HEADS:
        return HEADS[linear][0]
    if linear == "qa_outputs":
        return _norm_after(layers)
    index, part = _layer(linear)
    return f"{index}.{LAYER_INPUTS[part]}" if part in LAYER_INPUTS else _norm_after(index)


def output_site(linear: str) -> str:
    """The site of what the linear layer of that name writes."""
    if linear in HEADS:
        return HEADS[linear][1]
    if linear == "qa_outputs":
        return "logits"
    index, part = _layer(linear)
    return f"{index}.{LAYER_OUTPUTS[part]}"


def _layer(linear: str) -> tuple[int, str]:
    """Layer number and name inside the layer."""
    index, _, part = linear.removeprefix(LAYER_PREFIX).partition(".")
    return int(index), part


def _norm_after(layers: int) -> str:
    return f"{layers - 1}.ffn_norm" if layers else "embedding_norm"
