"""Whose model it is: keys, and signatures that say which files a version has.

Signatures are those of the OpenSSF (`model-signing`), so that its tools check ours and ours theirs.
"""
