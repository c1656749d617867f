"""A part that does not listen to SIGTERM."""

import signal
import time

from dataflows.part import hosted

if __name__ == "__main__":
    with hosted("deaf") as part:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        part.ready()
        time.sleep(600)
