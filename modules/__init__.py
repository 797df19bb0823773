"""User code that TFX calls by dotted path: preprocessing, model, trainer, evaluation."""
