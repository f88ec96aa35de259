"""Fuzz targets: one source, a deterministic unit test with gcc and a coverage-guided fuzzer with clang."""

def byrnie_fuzz_target(name, src, deps):
    """Makes NAME_test and NAME_fuzzer of a file that defines LLVMFuzzerTestOneInput and FuzzSeeds.

    NAME_test runs the seeds and a fixed number of mutations of them, with a fixed random seed, in every
    test run, sanitizers included. NAME_fuzzer needs clang and libFuzzer:
      CC=clang-14 bazel run --config=fuzz //test/fuzz:NAME_fuzzer -- -max_total_time=60

    Args:
      name: of the parser, e.g. "spiffe_id".
      src: the file.
      deps: the libraries it calls.
    """
    native.cc_test(
        name = name + "_test",
        size = "small",
        srcs = [src],
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
        deps = deps + [":fuzz_target"],
    )
