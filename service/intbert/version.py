"""Which version of this package is installed."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Of the installed package; "unknown" in a checkout that was not installed."""
    try:
        return version("intbert")
    except PackageNotFoundError:
        return "unknown"
