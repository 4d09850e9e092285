"""`python -m intbert.cli`: the same as `intbert`."""

from intbert.cli.main import main

if __name__ == "__main__":
    main()
