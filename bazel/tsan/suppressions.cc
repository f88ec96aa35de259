// What ThreadSanitizer cannot judge here: Debian's gRPC is compiled without it, and its queues and
// counters are ordered by atomics of its own, which the sanitizer does not see. Every report with a
// frame of gRPC's is left out, so what our callbacks do on gRPC's threads is not checked; what
// other threads do is. Asked for by the sanitizer's runtime, under --config=tsan alone.
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so.29\n"
         "called_from_lib:libgrpc++.so.1.51\n"
         "called_from_lib:libgpr.so.29\n"
         "race:^grpc::\n"
         "race:^grpc_core::\n"
         "race:libgrpc\n"
         "race:libgpr\n";
}
