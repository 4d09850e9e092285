"""What the build stage raises for anything a user can put right: recipe, data, checkpoint, memory."""

from intbert.errors import ConfigError, IntbertError


class BuildError(IntbertError):
    """A build cannot go on; the message says what is wrong, which value, and what to do."""

    default_code = "build_failed"


class RecipeError(ConfigError):
    """The recipe is unreadable, has an unknown field or a value out of range."""

    default_code = "recipe_invalid"


class DataError(BuildError):
    """A data file is missing, unreadable or does not hold what the recipe says."""

    default_code = "data_invalid"


class BackboneError(BuildError):
    """The checkpoint cannot be loaded or its architecture is not supported."""

    default_code = "backbone_unsupported"


class MemoryShortageError(BuildError):
    """The estimate of the memory needed exceeds what is free."""

    default_code = "memory_short"
