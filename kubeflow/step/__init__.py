"""From KFP's ExecutorInput to TFX's executors, and back to KFP's ExecutorOutput."""
