"""Video files: finding them, decoding them in a child process, resizing frames, cutting clips and contact sheets."""
