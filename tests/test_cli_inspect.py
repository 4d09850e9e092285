"""`intbert inspect`: tables for people, one document for programs, no training library."""

import subprocess
import sys
from pathlib import Path

from tests.test_cli import document, refusal, run

STORE = Path(__file__).parents[1] / "model_store"


def test_tables() -> None:
    """People see variants, scales, the tightest bounds, errors of layers, and what the package does not hold."""
    done = run("inspect", "squad-minilm-l6", "--store", STORE)
    assert done.returncode == 0, done.stderr
    for words in ("6 layers, 384 channels", "int8 *", "layers.0.gelu", "bounds proved", "logits"):
        assert words in done.stdout


def test_document() -> None:
    """--json prints what `inspection` gives, for any variant."""
    found = document("inspect", "sst2-minilm-l6", "--store", STORE)
    assert found["name"] == "sst2-minilm-l6"
    assert len(found["bounds"]) > 50
    assert document("inspect", "sst2-minilm-l6", "--store", STORE, "--variant", "fp32")["bounds"] is None


def test_wrong_names() -> None:
    """Unknown models and variants are one line that names what there is."""
    assert "sst2-minilm-l6" in refusal("inspect", "nothing", "--store", STORE)
    assert "int8" in refusal("inspect", "sst2-minilm-l6", "--variant", "int4", "--store", STORE)


def test_without_training_libraries() -> None:
    """Neither torch nor transformers is loaded."""
    code = (
        "import sys; from intbert.cli.main import make_app; "
        f"make_app()(['inspect', 'sst2-minilm-l6', '--store', {str(STORE)!r}], standalone_mode=False); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'onnxruntime')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
