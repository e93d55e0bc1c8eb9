"""What a demo found, as one HTML page that stands alone: no scripts, and no file or address beside it is needed."""
