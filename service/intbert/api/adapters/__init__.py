"""Other servers' protocols: their shapes over the same jobs. Each file knows one protocol and nothing of engines."""
