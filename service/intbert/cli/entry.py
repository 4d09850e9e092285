"""Where the program begins: the imports of every command, without a garbage collector that looks through them."""

import gc


def main() -> None:
    """Run a command. What imports make stays: to search it again and again takes a quarter of their time."""
    gc.disable()
    from intbert.cli.main import main as run

    gc.freeze()
    gc.enable()
    try:
        run()
    finally:
        gc.unfreeze()
