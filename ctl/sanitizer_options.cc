// What a sanitizer is told of this program; nothing without one.
#if defined(__SANITIZE_ADDRESS__)

extern "C" const char* __lsan_default_options();
extern "C" const char* __lsan_default_suppressions();

// That something was suppressed is no report.
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }

// A command may end before gRPC's threads have let go of its connection: what OpenSSL has of it is
// then nobody's.
extern "C" const char* __lsan_default_suppressions() { return "leak:libcrypto.so\n"; }

#endif
