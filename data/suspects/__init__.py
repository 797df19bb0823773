"""Which labels of a data set look wrong: each is held against what all other pictures say.

Examples of all splits, groups of copies -> find -> Suspects -> suspects.json, a table to correct
"""
