"""Video files: finding, decoding, resizing and writing them.

- `files`: the videos below a folder, and the hash of a file's content.
- `decode`: a file to frames with times, streamed in chunks.
- `decoder_process`: the same in a child process, where a crash or a hang costs one video.
- `resize`: one geometry for frames and flow.
- `encode`: frames to a video file; clips cut out of videos.
- `contact_sheet`: strips of frames on one picture.
"""
