"""The networks, and the files they are kept in.

- `clip`: the frozen teacher, any open_clip image tower; `clip_text` is the text tower that belongs to it.
- `openai_weights`: reads OpenAI's own CLIP checkpoints.
- `motion_student`: the student of flow images, and its checkpoint.
- `heads`: what every fusion head is, and those of closed form; `tfam` holds TFAM, whose heads come first.
- `checkpoint`: a trained model as two files; the checkpoint of a fusion head.
- `tiny`: the weights of `vimoclip-tiny`, the model of the rendered world.
"""
