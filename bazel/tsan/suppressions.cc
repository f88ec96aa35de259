// What ThreadSanitizer cannot judge here: Debian's gRPC is compiled without it, and its queues and
// counters are ordered by atomics of its own, which the sanitizer does not see. Every report with a
// frame of gRPC's is left out, so what our callbacks do on gRPC's threads is not checked; what
// other threads do is. What Abseil's libraries themselves allocate, copy and free is left out for
// the same reason: the last of several holders of a Status frees its text, and the count of holders
// is an atomic in there, also where that is inlined into ours; the graph in which its mutexes look
// for deadlocks has a lock of its own. OpenSSL's libraries are etcd's client's, by way of gRPC.
// Asked for by the sanitizer's runtime, under --config=tsan alone.
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so.29\n"
         "called_from_lib:libgrpc++.so.1.51\n"
         "called_from_lib:libgpr.so.29\n"
         "called_from_lib:libabsl_cord.so.20220623\n"
         "called_from_lib:libabsl_graphcycles_internal.so.20220623\n"
         "called_from_lib:libabsl_status.so.20220623\n"
         "called_from_lib:libabsl_time.so.20220623\n"
         "called_from_lib:libabsl_time_zone.so.20220623\n"
         "called_from_lib:libssl.so.3\n"
         "called_from_lib:libcrypto.so.3\n"
         "race:^absl::debian3::Status::Unref\n"
         "race:^grpc::\n"
         "race:^grpc_core::\n"
         "race:libgrpc\n"
         "race:libgpr\n";
}
