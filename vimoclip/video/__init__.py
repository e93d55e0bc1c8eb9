"""Video files: finding, decoding, resizing and writing them.

- `files`: the videos below a folder, the hash of a file's content, and whether a stored file still has it.
- `probe`: whether a file of any name is a video.
- `decode`: a file to frames with times, streamed in chunks.
- `times`: the time of each frame, as the file gives it, and repaired where it does not.
- `truncation`: whether a file ends before what its header promises.
- `levels`: deep gray pictures to 8 bits, by what they hold.
- `decoder_process`: the same in a child process, where a crash or a hang costs one video.
- `resize`: one geometry for frames and flow.
- `encode`: frames to a video file; clips cut out of videos.
- `contact_sheet`: strips of frames on one picture.
"""
