"""Pipelines: what each command does, as a function from a request to a report. They print nothing."""
