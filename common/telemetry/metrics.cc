#include "common/telemetry/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "common/base/check.h"

namespace byrnie {
namespace {

enum class Type { kCounter, kGauge, kHistogram };

absl::string_view TypeName(Type type) {
  switch (type) {
    case Type::kCounter:
      return "counter";
    case Type::kGauge:
      return "gauge";
    case Type::kHistogram:
      return "histogram";
  }
  return "untyped";
}

bool IsName(absl::string_view name, bool colon_allowed) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  return std::all_of(name.begin(), name.end(), [colon_allowed](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' ||
           (c == ':' && colon_allowed);
  });
}

// The shortest text that reads back as the same number.
std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::string text = absl::StrFormat("%.15g", value);
  if (std::strtod(text.c_str(), nullptr) != value) text = absl::StrFormat("%.17g", value);
  return text;
}

void AppendEscaped(absl::string_view value, std::string* out) {
  for (const char c : value) {
    if (c == '\\' || c == '"') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else {
      out->push_back(c);
    }
  }
}

// Not by StrAppend, which fills what it is going to write with zeros first.
void AppendSample(absl::string_view name, absl::string_view suffix, absl::string_view labels,
                  absl::string_view value, std::string* out) {
  out->append(name.data(), name.size());
  out->append(suffix.data(), suffix.size());
  if (!labels.empty()) {
    out->push_back('{');
    out->append(labels.data(), labels.size());
    out->push_back('}');
  }
  out->push_back(' ');
  out->append(value.data(), value.size());
  out->push_back('\n');
}

void AppendHistogram(absl::string_view name, absl::string_view labels,
                     const std::vector<std::string>& bounds, const Histogram::Snapshot& snapshot,
                     std::string* out) {
  const absl::string_view separator = labels.empty() ? "" : ",";
  for (size_t i = 0; i < snapshot.cumulative.size(); ++i) {
    AppendSample(name, "_bucket", absl::StrCat(labels, separator, "le=\"", bounds[i], "\""),
                 absl::StrCat(snapshot.cumulative[i]), out);
  }
  AppendSample(name, "_sum", labels, FormatNumber(snapshot.sum), out);
  AppendSample(name, "_count", labels, absl::StrCat(snapshot.cumulative.back()), out);
}

// One of the members is set, as the family's type says; a counter or gauge may be of either kind.
struct Series {
  std::unique_ptr<Counter> counter;
  std::unique_ptr<Gauge> gauge;
  std::unique_ptr<Histogram> histogram;
  std::vector<std::string> bounds;  // Of its buckets, as text.
  std::function<double()> read;
};

// Text that does not change is made when something is registered: pages are long, and read often.
struct Family {
  Type type;
  std::string head;  // The lines above the samples.
  std::map<std::string, Series> series;
  // Instead of `series`; counters only.
  std::function<void(CounterSink sink)> collect;
};

Family MakeFamily(absl::string_view name, absl::string_view help, Type type) {
  Family family;
  family.type = type;
  family.head =
      absl::StrCat("# HELP ", name, " ", absl::StrReplaceAll(help, {{"\\", "\\\\"}, {"\n", "\\n"}}),
                   "\n# TYPE ", name, " ", TypeName(type), "\n");
  return family;
}

}  // namespace

// Also the key and the order of the series of a family.
std::string RenderLabels(const MetricLabels& labels) {
  std::string text;
  size_t size = 0;
  for (const auto& [name, value] : labels) size += name.size() + value.size() + 4;
  text.reserve(size);
  for (const auto& [name, value] : labels) {
    CHECK(IsName(name, false) && name != "le");
    if (!text.empty()) text.push_back(',');
    text.append(name).append("=\"");
    AppendEscaped(value, &text);
    text.push_back('"');
  }
  return text;
}

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), buckets_(new std::atomic<uint64_t>[bounds_.size() + 1]) {
  for (size_t i = 0; i <= bounds_.size(); ++i) buckets_[i] = 0;
  for (size_t i = 0; i < bounds_.size(); ++i) {
    CHECK(std::isfinite(bounds_[i]));
    CHECK(i == 0 || bounds_[i - 1] < bounds_[i]);
  }
}

void Histogram::Observe(double value) {
  // The first bound that is not below the value: bounds are inclusive. NaN goes to +Inf.
  const size_t bucket =
      std::isnan(value) ? bounds_.size()
                        : std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  double sum = sum_.load(std::memory_order_relaxed);
  while (!sum_.compare_exchange_weak(sum, sum + value, std::memory_order_relaxed)) {
  }
}

Histogram::Snapshot Histogram::Take() const {
  Snapshot snapshot;
  snapshot.bounds = bounds_;
  snapshot.cumulative.reserve(bounds_.size() + 1);
  uint64_t total = 0;
  for (size_t i = 0; i <= bounds_.size(); ++i) {
    total += buckets_[i].load(std::memory_order_relaxed);
    snapshot.cumulative.push_back(total);
  }
  snapshot.sum = sum_.load(std::memory_order_relaxed);
  return snapshot;
}

struct MetricRegistry::Impl {
  mutable absl::Mutex mutex;
  std::map<std::string, Family> families ABSL_GUARDED_BY(mutex);
  // Bytes of the last text: the next one is about as long, and a megabyte that grows in steps is
  // moved each time to pages that the system has to clear first.
  size_t rendered ABSL_GUARDED_BY(mutex) = 0;

  Series& Find(absl::string_view name, absl::string_view help, Type type,
               const MetricLabels& labels) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    CHECK(IsName(name, true));
    auto family = families.find(std::string(name));
    if (family == families.end()) {
      family = families.emplace(std::string(name), MakeFamily(name, help, type)).first;
    }
    CHECK(family->second.type == type);
    CHECK(family->second.collect == nullptr);
    return family->second.series[RenderLabels(labels)];
  }
};

MetricRegistry::MetricRegistry() : impl_(std::make_unique<Impl>()) {}
MetricRegistry::~MetricRegistry() = default;

Counter* MetricRegistry::AddCounter(absl::string_view name, absl::string_view help,
                                    const MetricLabels& labels) {
  absl::MutexLock lock(&impl_->mutex);
  Series& series = impl_->Find(name, help, Type::kCounter, labels);
  CHECK(series.read == nullptr);
  if (series.counter == nullptr) series.counter = std::make_unique<Counter>();
  return series.counter.get();
}

Gauge* MetricRegistry::AddGauge(absl::string_view name, absl::string_view help,
                                const MetricLabels& labels) {
  absl::MutexLock lock(&impl_->mutex);
  Series& series = impl_->Find(name, help, Type::kGauge, labels);
  CHECK(series.read == nullptr);
  if (series.gauge == nullptr) series.gauge = std::make_unique<Gauge>();
  return series.gauge.get();
}

Histogram* MetricRegistry::AddHistogram(absl::string_view name, absl::string_view help,
                                        std::vector<double> bounds, const MetricLabels& labels) {
  absl::MutexLock lock(&impl_->mutex);
  Series& series = impl_->Find(name, help, Type::kHistogram, labels);
  if (series.histogram == nullptr) {
    for (const double bound : bounds) series.bounds.push_back(FormatNumber(bound));
    series.bounds.push_back("+Inf");
    series.histogram = std::make_unique<Histogram>(std::move(bounds));
  }
  return series.histogram.get();
}

void MetricRegistry::AddCallbackGauge(absl::string_view name, absl::string_view help,
                                      std::function<double()> read, const MetricLabels& labels) {
  CHECK(read != nullptr);
  absl::MutexLock lock(&impl_->mutex);
  Series& series = impl_->Find(name, help, Type::kGauge, labels);
  CHECK(series.gauge == nullptr);
  series.read = std::move(read);
}

void MetricRegistry::AddCallbackCounter(absl::string_view name, absl::string_view help,
                                        std::function<double()> read, const MetricLabels& labels) {
  CHECK(read != nullptr);
  absl::MutexLock lock(&impl_->mutex);
  Series& series = impl_->Find(name, help, Type::kCounter, labels);
  CHECK(series.counter == nullptr);
  series.read = std::move(read);
}

void MetricRegistry::AddCounterCollector(absl::string_view name, absl::string_view help,
                                         std::function<void(CounterSink sink)> collect) {
  CHECK(IsName(name, true));
  CHECK(collect != nullptr);
  absl::MutexLock lock(&impl_->mutex);
  Family family = MakeFamily(name, help, Type::kCounter);
  family.collect = std::move(collect);
  const bool is_new = impl_->families.emplace(std::string(name), std::move(family)).second;
  CHECK(is_new);
}

std::string MetricRegistry::RenderPrometheusText() const {
  std::string text;
  absl::MutexLock lock(&impl_->mutex);
  text.reserve(impl_->rendered + impl_->rendered / 16);
  for (const auto& [name, family] : impl_->families) {
    text.append(family.head);
    if (family.collect != nullptr) {
      family.collect([&text, &name = name](absl::string_view labels, uint64_t value) {
        AppendSample(name, "", labels, absl::StrCat(value), &text);
      });
    }
    for (const auto& [labels, series] : family.series) {
      if (series.counter != nullptr) {
        AppendSample(name, "", labels, absl::StrCat(series.counter->value()), &text);
      } else if (series.gauge != nullptr) {
        AppendSample(name, "", labels, absl::StrCat(series.gauge->value()), &text);
      } else if (series.histogram != nullptr) {
        AppendHistogram(name, labels, series.bounds, series.histogram->Take(), &text);
      } else if (series.read != nullptr) {
        AppendSample(name, "", labels, FormatNumber(series.read()), &text);
      }
    }
  }
  impl_->rendered = text.size();
  return text;
}

}  // namespace byrnie
