"""From images to a span: survey, plan, workers, manifest."""
