"""What the build stage raises for anything a user can put right: recipe, data, checkpoint, memory."""


class BuildError(Exception):
    """A build cannot go on; the message says what is wrong, which value, and what to do."""


class RecipeError(BuildError):
    """The recipe is unreadable, has an unknown field or a value out of range."""


class DataError(BuildError):
    """A data file is missing, unreadable or does not hold what the recipe says."""


class BackboneError(BuildError):
    """The checkpoint cannot be loaded or its architecture is not supported."""


class MemoryShortage(BuildError):
    """The estimate of the memory needed exceeds what is free."""
