"""Models of ours as folders that `transformers` loads. Nothing here loads it, or torch."""
