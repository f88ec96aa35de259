"""Fuzz targets: one source, a deterministic unit test with gcc and a coverage-guided fuzzer with clang."""

def byrnie_fuzz_target(name, src, deps):
    """Makes NAME_test and NAME_fuzzer of a file that defines LLVMFuzzerTestOneInput and FuzzSeeds.

    NAME_test runs the seeds, the kept corpus (test/fuzz/corpus/NAME, where there is one) and a fixed number of
    mutations of the seeds, with a fixed random seed, in every test run, sanitizers included. NAME_fuzzer is
    libFuzzer's, which needs clang; tools/test fuzz runs it.

    Args:
      name: of the parser, e.g. "spiffe_id".
      src: the file.
      deps: the libraries it calls.
    """
    native.cc_test(
        name = name + "_test",
        size = "small",
        srcs = [src],
        args = ["test/fuzz/corpus/" + name],
        data = native.glob(["corpus/" + name + "/*"], allow_empty = True),
        deps = deps + [
            ":fuzz_target",
            ":replay_main",
        ],
    )
    native.cc_binary(
        name = name + "_fuzzer",
        testonly = 1,
        srcs = [src],
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = deps + [
            ":fuzz_target",
            ":seed_writer",
        ],
    )
