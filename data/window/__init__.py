"""Several spans that are read as one: of each picture the newest span that names it decides.

    span-1 (holds all) + span-2 (what was new, changed, gone) + ... -> fold -> Window -> gather

`increment` finds what a source has that the spans before have not; `named` is the list of it.
"""
