"""What an operator does to a served model: roll it out, replay requests, load it, read its log."""
