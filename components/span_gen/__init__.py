"""SpanGen: a span's files become Examples as they are."""

from components.span_gen.component import SpanGen

__all__ = ["SpanGen"]
