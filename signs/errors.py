"""The root of the project's errors that a user can mend."""


class UserError(ValueError):
    """A user's mistake: its text, one or two lines, is all that the command line prints.

    The text names what was wrong, where, and what to do about it.
    """


class ImageError(UserError):
    """Bytes that cannot become an image; the text is the reason, in words."""


class NotAnImageError(ImageError):
    """Bytes that nobody would take for an image; a damaged image is another thing."""
