"""One training: job (what to do) -> input, augmentation -> loop -> checkpoints, log, progress."""
