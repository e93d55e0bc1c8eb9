"""The networks: CLIP teacher and text tower, motion student, TFAM; and the files they are kept in."""
