// Requests to the admin pages: whole and a byte at a time they are the same ones, and nothing
// reaches a handler that the router would not let through.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/http/http_codec.h"
#include "common/http/http_router.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// What a handler answers later.
class Later final : public PendingHttpAnswer {
 public:
  explicit Later(HttpRouter::Respond respond) : respond_(std::move(respond)) {}
  void Answer(HttpResponse response) { respond_(std::move(response)); }

 private:
  HttpRouter::Respond respond_;
};

// Lets nobody change anything who asks for it to be refused.
class Guard final : public MutationGuard {
 public:
  absl::Status Check(const HttpRequest& request) const override {
    if (request.method == "GET" || request.method == "HEAD") std::abort();
    if (request.QueryValue("who").empty()) return absl::OkStatus();
    return absl::PermissionDeniedError("not you");
  }
};

// Reads requests from `bytes` in pieces of `step`; says what became of them.
std::string Serve(HttpRouter* router, absl::string_view bytes, size_t step) {
  std::string result;
  std::string input;
  auto parser = std::make_unique<HttpRequestParser>();
  while (true) {
    const HttpRequestParser::Result fed = parser->Feed(input);
    if (fed.consumed > input.size()) std::abort();
    input.erase(0, fed.consumed);
    if (fed.state == HttpRequestParser::State::kError) {
      const int status = parser->error_response().status;
      if (status < 400 || status > 499) std::abort();
      return absl::StrCat(result, "error ", status);
    }
    if (fed.state == HttpRequestParser::State::kComplete) {
      const ParsedHttpRequest request = parser->TakeRequest();
      HttpRouter::Answer answer;
      const auto respond = [&answer](HttpResponse response) {
        answer.response = std::move(response);
      };
      answer = router->Handle(request, respond);
      if (answer.pending != nullptr) {
        static_cast<Later*>(answer.pending.get())->Answer({204, "text/plain", ""});
      }
      absl::StrAppend(&result, request.message.method, " ", request.message.path, " ",
                      request.message.body.size(), " ", answer.response.status, "\n");
      HttpResponseOptions options;
      options.allow = answer.allow;
      options.date = absl::UnixEpoch();
      // A response whose header a request could break would be two.
      const std::string head = SerializeHttpHead(answer.response, options);
      if (head.find("\r\n\r\n") + 4 != head.size()) std::abort();
      if (!request.keep_alive) return absl::StrCat(result, "close");
      parser = std::make_unique<HttpRequestParser>();
      continue;
    }
    (void)parser->TakeExpectContinue();
    if (bytes.empty()) return absl::StrCat(result, "more");
    absl::StrAppend(&input, bytes.substr(0, step));
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
}

HttpRouter* NewRouter() {
  HttpRouter::Options options;
  options.require_loopback_host = true;
  static const Guard* const guard = new Guard;
  options.guard = guard;
  std::vector<HttpRouter::Route> routes;
  for (const char* method : {"GET", "POST"}) {
    routes.push_back({method, absl::StrCat("/", method), [method](const HttpRequest& request) {
                        const bool head = request.method == "HEAD" && method[0] == 'G';
                        if (request.method != method && !head) std::abort();
                        if (method[0] == 'P' && !request.QueryValue("who").empty()) std::abort();
                        return HttpResponse{200, "text/plain", request.body};
                      }});
  }
  routes.push_back({"POST", "/later", nullptr, [](const HttpRequest&, HttpRouter::Respond respond) {
                      return std::make_unique<Later>(std::move(respond));
                    }});
  return new HttpRouter(options, std::move(routes));
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {
      "GET /GET?level=a%20b&x HTTP/1.1\r\nHost: localhost:15000\r\n\r\n",
      "HEAD /GET HTTP/1.0\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n",
      "POST /POST HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\nExpect: "
      "100-continue\r\n\r\nhelloGET /none HTTP/1.1\r\nHost: localhost\r\n\r\n",
      // Of which pieces end amid the last chunk.
      "POST /POST HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /POST HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\n\r\n",
      "POST /POST HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
      "POST /GET HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      absl::StrCat("GET /", std::string(9000, 'a'), " HTTP/1.1\r\n\r\n"),
      "GET http://localhost/GET HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /GET?a=%2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /GET HTTP/1.1\r\nHost: localhost:\r\n\r\nGET /GET HTTP/1.1\r\nHost: "
      "localhost.evil\r\n\r\n",
      "GET /GET HTTP/1.1\r\nHost: LOCALHOST:15000\r\nOrigin: null\r\n\r\n",
      "DELETE /GET HTTP/1.1\r\nHost: [::1]:1x\r\n\r\nDELETE /GET HTTP/1.1\r\nHost: [::1]:1\r\n\r\n",
      "GET /GET HTTP/1.0\r\n\r\n",
      "POST /POST HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n",
      "POST /POST HTTP/1.1\r\nHost: localhost\r\nX-Forbidden: 1\r\nContent-Length: 0\r\n\r\n",
      absl::StrCat("GET /GET HTTP/1.1\r\nHost: localhost\r\nX: ", std::string(70000, 'a'),
                   "\r\n\r\n"),
      "GET /GET HTTP/1.1\r\n\r\n",
      "POST /POST?who=me HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
      "POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\nPOST /later?who=me "
      "HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
      "GET /%zz%00?=&%=%41 HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
  };
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static byrnie::HttpRouter* const router = byrnie::NewRouter();
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = byrnie::Serve(router, bytes, size + 1);
  const std::string pieces = byrnie::Serve(router, bytes, 1);
  // The requests are the same; what is none may be noticed earlier in one way than in the other.
  if (whole.substr(0, whole.rfind('\n') + 1) != pieces.substr(0, pieces.rfind('\n') + 1)) {
    std::abort();
  }
  return 0;
}
