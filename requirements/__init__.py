"""What is installed, locked with its hashes, and how `make setup` installs it."""
