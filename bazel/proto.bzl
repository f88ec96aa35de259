"""C++ code of .proto files, made at build time by Debian's protoc and gRPC plugin."""

def byrnie_cc_proto(name, proto, imports = [], deps = [], grpc = False, runtime = None, visibility = None):
    """A cc_library of one .proto file under //api.

    Args:
      name: of the cc_library.
      proto: path of the file below api/, which is also how others import and include it.
      imports: all .proto files it imports, also indirectly, below api/.
      deps: the byrnie_cc_proto targets of those.
      grpc: also make the service stubs.
      runtime: the protobuf library to link. None where the file is for the lite runtime: then the binary
          chooses, because lite and full must not meet in one process.
      visibility: as usual.
    """
    base = proto[:-len(".proto")]
    outs = [base + ".pb.h", base + ".pb.cc"]
    flags = "--cpp_out=$(RULEDIR)"
    if grpc:
        outs += [base + ".grpc.pb.h", base + ".grpc.pb.cc"]
        flags += " --grpc_out=$(RULEDIR) --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin"
    native.genrule(
        name = name + "_code",
        srcs = [proto] + imports,
        outs = outs,
        # "operator" is a C++ keyword, which protoc 3.21 uses as a namespace all the same: it becomes operator_.
        cmd = "protoc -Iapi -I/usr/include %s $(location %s) && " % (flags, proto) +
              "sed -i -E 's/byrnie::operator::/byrnie::operator_::/g; s/namespace operator\\b/namespace operator_/' $(OUTS)",
        message = "Generating C++ of",
    )
    native.cc_library(
        name = name,
        srcs = [out for out in outs if out.endswith(".cc")],
        hdrs = [out for out in outs if out.endswith(".h")],
        copts = ["-w"],
        includes = ["."],
        visibility = visibility,
        deps = deps + ([runtime] if runtime else []),
    )
