"""What folders of images mean: their tree, the rule, and the user's answers where it asks."""
