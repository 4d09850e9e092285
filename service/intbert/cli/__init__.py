"""The command line. Each command imports what it needs when it runs, so none pays for another's libraries."""
