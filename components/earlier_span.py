"""Which statistics of pictures those of a span are compared with: those of the span before."""

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common.resolver import ResolverStrategy

from components.picture_statistics.executor import OF_PICTURES, statistics_path


class EarlierSpan(ResolverStrategy):
    """Resolves the newest statistics that PictureStatistics made of an earlier span.

    Channels: `statistics` (ExampleStatistics) is resolved to one artifact or to none; `examples`
    (Examples) says which span comes after. Run again, a span is compared with the same as before.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Picks the artifact: of the latest earlier span the newest."""
        span = input_dict["examples"][0].span
        earlier = [
            one
            for one in input_dict["statistics"]
            if one.get_int_custom_property(OF_PICTURES)
            and one.span < span
            and statistics_path(one.uri).is_file()
        ]
        chosen = max(earlier, key=lambda one: (one.span, one.id), default=None)
        return {**input_dict, "statistics": [chosen] if chosen else []}
