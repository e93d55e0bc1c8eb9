"""Search: what in a store is like a query. Queries, segments, ranking, filters, and what comes back.

- search.py: `Search`, what `store.search` calls.
- options.py: `SearchOptions`, which answers are wanted.
- query.py: a query as vectors, from a span, video, clip, image, text, label or vector.
- filters.py: which segments may be an answer.
- corpus.py: the segments, or single frames, that a search looks through, and their vectors.
- ranking.py: segments by their cosine with a query, exactly or by an index; percentiles among random pairs.
- results.py: `Hit` and `Hits`, shown as a table, pictures or clips.
- segments.py: segments made from stored frames, for the table `segments` and for videos that it lacks.
- behaviour_space.py: the vectors of segments that a trained fusion run makes.
- cosine.py: fast cosines of stored fp16 vectors.
"""
