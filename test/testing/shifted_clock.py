"""A wall clock that is off, for one process: libfaketime; the process's monotonic clock stays as it is."""

import glob
import os


class ShiftedClock:
    """Starts `seconds` off; `command` is what a process that is to have it runs under."""

    def __init__(self, directory, seconds=0):
        library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        assert library, "libfaketime is not installed; tools/setup installs it"
        self._file = os.path.join(directory, "offset")
        self.set(seconds)
        self.command = ["env", f"LD_PRELOAD={library[0]}", f"FAKETIME_TIMESTAMP_FILE={self._file}", "FAKETIME_NO_CACHE=1",
                        "FAKETIME_DONT_FAKE_MONOTONIC=1"]

    def set(self, seconds):
        with open(self._file + ".new", "w", encoding="ascii") as out:
            out.write(f"{seconds:+d}\n")
        os.replace(self._file + ".new", self._file)
