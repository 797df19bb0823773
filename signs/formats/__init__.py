"""JPEG and PNG files taken apart: what a picture is made of, what describes it, what is missing."""

TRUNCATED = "truncated: the file ends before the picture does"
INCOMPLETE = "truncated: a part of the picture is missing"
