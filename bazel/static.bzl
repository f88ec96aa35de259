"""Programs that load nothing, wherever they run."""

def byrnie_static_binary(name, srcs, visibility, deps = []):
    """A program without a library to load, at an address of the kernel's choice as any other (static PIE).

    Linked by ld.bfd, because gold, Bazel's choice, makes static programs for fixed addresses only. ld.bfd
    warns of getaddrinfo, which BoringSSL's connecting BIO calls, before it leaves both out, for nothing of ours has use for them.
    A sanitizer's runtime is a library, so that for one it is a program as any other.

    Args:
      name: of the program.
      srcs: its main file.
      visibility: as of any rule.
      deps: the libraries it calls.
    """
    native.cc_binary(
        name = name,
        srcs = srcs,
        # ld.bfd takes archives, not lists of objects.
        features = ["-supports_start_end_lib"],
        linkopts = select({
            "//bazel:sanitized": [],
            "//conditions:default": ["-static-pie", "-fuse-ld=bfd"],
        }),
        visibility = visibility,
        deps = deps,
    )
