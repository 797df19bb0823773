"""The files that flags name: protobuf messages in text format."""
