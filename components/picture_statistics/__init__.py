"""PictureStatistics: what the pictures of a span are like, which are odd, and what has changed."""

from components.picture_statistics.component import PictureStatistics

__all__ = ["PictureStatistics"]
