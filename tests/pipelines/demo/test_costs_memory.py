"""Peak memory while threads come and go."""

import threading

from pipelines.demo.costs import PeakMemory


def test_threads_that_end_meanwhile_hide_nothing() -> None:
    over = threading.Event()

    def restless() -> None:
        while not over.is_set():
            short = threading.Thread(target=lambda: None)
            short.start()
            short.join()

    others = [threading.Thread(target=restless) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for _ in range(150):
            with PeakMemory() as peak:
                pass
            assert peak.bytes > 10e6
    finally:
        over.set()
        for other in others:
            other.join()
