"""Running models: engines behind one protocol, batch policy, worker pool, and tasks that turn logits into answers."""
