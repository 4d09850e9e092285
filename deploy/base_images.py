"""Base images: pulled where a registry can be reached, else made from Debian's packages under the same name.

A stand-in changes nothing in the Dockerfile and compose file: they stay what users build and run.
"""

import shutil
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.engine import CheckError, Engine, run

PYTHON_PACKAGES = "python3,python3-venv,python3-pip,libpython3.11-dev,ca-certificates"


def ensure_image(engine: Engine, name: str) -> str:
    """Make `name` available; returns "present", "pulled" or "stand-in". Raises CheckError when there is no way."""
    if engine.succeeds("image", "inspect", name):
        return "present"
    if engine.succeeds("pull", name, timeout_s=300):
        return "pulled"
    family = name.split(":", maxsplit=1)[0]
    makers: dict[str, Callable[[Engine, str, Path], None]] = {"python": _python, "prom/prometheus": _prometheus}
    if family not in makers:
        raise CheckError(f"{name} can't be pulled and has no stand-in")
    with tempfile.TemporaryDirectory(prefix="intbert-image-") as folder:
        makers[family](engine, name, Path(folder))
    return "stand-in"


def _python(engine: Engine, name: str, root: Path) -> None:
    """Debian bookworm with its Python 3.11 in the places of the official image."""
    _need("debootstrap")
    run(["debootstrap", "--variant=minbase", f"--include={PYTHON_PACKAGES}", "bookworm", str(root)])
    local = root / "usr/local/bin"
    for link, target in (("python", "python3"), ("python3", "python3"), ("pip", "pip3")):
        (local / link).symlink_to(f"/usr/bin/{target}")
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
    _trust_what_this_machine_trusts(root)
    _import(engine, name, root)


def _trust_what_this_machine_trusts(root: Path) -> None:
    """Certificates and package sources of this machine: a build has no volumes to bring them in."""
    if bundle := ssl.get_default_verify_paths().cafile:
        shutil.copy(bundle, root / "etc/ssl/certs/ca-certificates.crt")
    (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    for part in Path("/etc/apt/apt.conf.d").glob("99*"):
        shutil.copy(part, root / "etc/apt/apt.conf.d" / part.name)


def _prometheus(engine: Engine, name: str, root: Path) -> None:
    """Debian's Prometheus with the entry point, user and folders of the official image."""
    programs = [Path(_need(program)) for program in ("prometheus", "promtool")]
    libraries = [Path("/lib64/ld-linux-x86-64.so.2"), Path("/lib/x86_64-linux-gnu/libc.so.6")]
    for source in libraries:
        target = root / source.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.resolve(), target)
    (root / "bin").mkdir()
    for program in programs:
        shutil.copy(program, root / "bin" / program.name)
    for folder in ("tmp", "prometheus", "etc/prometheus"):
        (root / folder).mkdir(parents=True)
        (root / folder).chmod(0o777)
    _import(
        engine,
        name,
        root,
        "USER 65534",
        "WORKDIR /prometheus",
        'ENTRYPOINT ["/bin/prometheus"]',
        'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]',
    )


def _import(engine: Engine, name: str, root: Path, *changes: str) -> None:
    archive = root.with_suffix(".tar")
    run(["tar", "-C", str(root), "-cf", str(archive), "--exclude=./proc/*", "--exclude=./sys/*", "."])
    try:
        options = [part for change in changes for part in ("--change", change)]
        engine.run("import", *options, str(archive), name)
    finally:
        archive.unlink()


def _need(program: str) -> str:
    if (path := shutil.which(program)) is None:
        raise CheckError(f"{program} is not installed: apt-get install {program.replace('promtool', 'prometheus')}")
    return path
