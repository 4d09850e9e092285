"""The build stage: a recipe and data in, a package out. Only here torch and transformers are imported."""
