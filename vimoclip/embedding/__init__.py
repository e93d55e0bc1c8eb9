"""From decoded frames, or from stored flow, to vectors: the worker and what it reports."""
