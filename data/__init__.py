"""Images to TFRecord spans: sources, conversion, manifest, curated schema."""

from signs.errors import UserError


class IngestError(UserError):
    """Data that cannot be ingested or read back; the text says what is wrong and what to do."""
