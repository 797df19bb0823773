"""Makes the files of `signs.protos` from the locked packages; it is not installed with them."""
