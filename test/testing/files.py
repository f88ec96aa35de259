"""Files that somebody reads while they are replaced."""

import os


def replace_file(path, content, mode=0o600):
    """Puts `content`, text or bytes, there as a whole: whoever reads has what was there before or all of it."""
    with open(f"{path}.new", "wb") as out:
        out.write(content if isinstance(content, bytes) else content.encode())
    os.chmod(f"{path}.new", mode)
    os.replace(f"{path}.new", path)
