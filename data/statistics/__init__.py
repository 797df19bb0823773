"""What pictures are like, in a few numbers each: their distributions, and how far two are apart."""
