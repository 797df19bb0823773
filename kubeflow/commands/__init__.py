"""`signs compile` and `signs submit`: each parses, and delegates to the room of that name."""
