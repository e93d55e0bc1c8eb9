"""The rendered world: how fast it is drawn, its frames as training data, the model trained on them, and the demo.

python -m benchmarks.worlds.savannah --sheet SHEET.png
python -m benchmarks.worlds.train_tiny --out vimoclip/models/tiny --minutes 40
python -m benchmarks.worlds.demo_world FOLDER --size small
"""
