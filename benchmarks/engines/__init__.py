"""One module a library, each imported in its own process only; `catalog` names what can be measured."""
