"""Images to TFRecord spans: sources, conversion, manifest, curated schema."""
