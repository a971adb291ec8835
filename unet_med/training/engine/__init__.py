"""Training engine: builders, loss, optimizer, step budget, epochs, checkpoint, logs, export."""
