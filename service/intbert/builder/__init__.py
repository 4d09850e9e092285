"""The build stage: a recipe and data in, a package out. The only part of intbert that imports torch and transformers."""
