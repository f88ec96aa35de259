"""What tools/setup has put into the cache outside the checkout."""

import os


def cached(*names):
    """A path in the cache, where nothing need be."""
    cache = os.environ.get("BYRNIE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "byrnie")
    return os.path.join(cache, *names)
