"""The harness of the tests that run the real binaries in network namespaces. Standard library only; needs root."""
