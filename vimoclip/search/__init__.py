"""Search: queries, segments, ranking, filters and what comes back."""
