"""What a model is: manifest, package files, store, tokenizer."""
