"""Sources compiled several to a translation unit."""

def joined(name, srcs, alone = [], size = 35):
    """Groups sources by folder into generated files that include them, and returns what is to be compiled.

    Most of the time it takes to compile a small file goes into headers it shares with its neighbours.

    Args:
      name: prefix of the generated files.
      srcs: the sources, paths in the package.
      alone: those of srcs that clash with their neighbours' file-local names and stay by themselves.
      size: how many sources to a file at most.

    Returns:
      The labels to compile. The sources themselves belong into textual_hdrs.
    """
    folders = {}
    result = []
    for src in srcs:
        folder = src.rpartition("/")[0]
        if src in alone:
            result.append(src)
        else:
            folders[folder] = folders.get(folder, []) + [src]
    for folder, members in folders.items():
        if len(members) == 1:
            result.append(members[0])
            continue
        for start in range(0, len(members), size):
            output = "%s/%s_%d.cc" % (name, folder.replace("/", "_"), start // size)
            native.genrule(
                name = output + "_file",
                outs = [output],
                cmd = "printf '#include \"%s\"\\n' " + " ".join(members[start:start + size]) + " > $@",
            )
            result.append(output)
    return result
