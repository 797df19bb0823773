"""Whose model it is: keys, signatures that say which files a version has, and what it is made from.

Signatures are those of the OpenSSF (`model-signing`), so that its tools check ours and ours theirs.
"""
