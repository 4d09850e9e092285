"""Python for AArch64 with intbert in one folder: Debian packages unpacked, wheels from PyPI, the module cross-compiled.

Needs no root: apt keeps the state of the other architecture in the folder, and nothing is installed.
"""

import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import nanobind

from tests.cpus.tools import CpuCheckError, run

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ("numpy", "safetensors")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")


def prepare_arm64(folder: Path) -> tuple[Path, Path]:
    """The root of the foreign system and the folder with numpy, safetensors and intbert; kept for the next run."""
    system, site = folder / "system", folder / "site"
    if not (system / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        unpack_system(folder, system)
        install_wheels(system, site)
        (system / "complete").touch()
    build_module(folder / "build", system, site)
    return system, site


def unpack_system(folder: Path, system: Path) -> None:
    """Python, its headers and what they depend on."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / "apt" / name).mkdir(parents=True)
    state = folder / "apt"
    (state / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Debug::NoLocking": 1,
    }
    apt = ["apt-get", "--quiet", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    run([*apt, "update"])
    packages = ("python3-minimal", "libpython3-dev", "libstdc++6")
    run([*apt, "install", "--yes", "--no-install-recommends", "--download-only", *packages])
    system.mkdir()
    for package in sorted((state / "cache/archives").glob("*.deb")):
        run(["dpkg-deb", "--extract", package, system])
    shutil.rmtree(state)


def python_version(system: Path) -> str:
    """Such as 3.11."""
    names = sorted(path.name for path in (system / "usr/bin").glob("python3.[0-9]*"))
    if not names:
        raise CpuCheckError(f"{system} holds no Python; remove the folder and run again")
    return names[0].removeprefix("python")


def install_wheels(system: Path, site: Path) -> None:
    """The versions that this environment has, for the other architecture."""
    wheels = [f"{name}=={version(name)}" for name in WHEELS]
    where = [word for platform in PLATFORMS for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    target = ["--only-binary", ":all:", "--python-version", python_version(system), "--target", str(site)]
    run([*pip, *target, *where, *wheels])


def build_module(build: Path, system: Path, site: Path) -> None:
    """The package's Python files and the cross-compiled module beside them."""
    headers = system / "usr/include"
    settings = {
        "CMAKE_SYSTEM_NAME": "Linux",
        "CMAKE_SYSTEM_PROCESSOR": "aarch64",
        "CMAKE_CXX_COMPILER": "aarch64-linux-gnu-g++",
        "CMAKE_CXX_FLAGS": f"-idirafter {headers}",  # pyconfig.h by architecture
        "Python_EXECUTABLE": sys.executable,
        "Python_INCLUDE_DIR": headers / f"python{python_version(system)}",
        "nanobind_DIR": nanobind.cmake_dir(),
        "NB_SUFFIX": ".so",
        "NB_SUFFIX_S": ".so",
    }
    tools = Path(sys.executable).parent
    cmake = shutil.which("cmake", path=str(tools)) or "cmake"
    ninja = shutil.which("ninja", path=str(tools)) or "ninja"
    defined = [f"-D{key}={value}" for key, value in settings.items()]
    run([cmake, "-S", ROOT, "-B", build, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}", *defined])
    run([cmake, "--build", build])
    shutil.rmtree(site / "intbert", ignore_errors=True)
    shutil.copytree(ROOT / "service/intbert", site / "intbert", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    run([cmake, "--install", build, "--prefix", site])
