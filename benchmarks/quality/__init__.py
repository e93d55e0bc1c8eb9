"""How often answers are right: mAP, top-1, F1 of bouts and precision of search, each beside chance.

    python -m benchmarks.quality.zero_shot --clips 240
    python -m benchmarks.quality.motion_student FOLDER

Most are measured on clips of the rendered world, whose truth is known; `search_real` and `file_query` take real clips,
`table2` and `animal_kingdom` the published labels of Animal Kingdom.
"""
