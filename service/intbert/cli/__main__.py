"""`python -m intbert.cli`: the same as `intbert`."""

from intbert.cli.entry import main

if __name__ == "__main__":
    main()
