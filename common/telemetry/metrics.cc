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

// `a="x",b="y"`: also the key and the order of the series of a family.
std::string FormatLabels(const MetricLabels& labels) {
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

void AppendSample(absl::string_view name, absl::string_view suffix, absl::string_view labels,
                  absl::string_view value, std::string* out) {
  absl::StrAppend(out, name, suffix);
  if (!labels.empty()) absl::StrAppend(out, "{", labels, "}");
  absl::StrAppend(out, " ", value, "\n");
}

void AppendHistogram(absl::string_view name, absl::string_view labels,
                     const Histogram::Snapshot& snapshot, std::string* out) {
  const absl::string_view separator = labels.empty() ? "" : ",";
  for (size_t i = 0; i < snapshot.cumulative.size(); ++i) {
    const std::string bound =
        i < snapshot.bounds.size() ? FormatNumber(snapshot.bounds[i]) : std::string("+Inf");
    AppendSample(name, "_bucket", absl::StrCat(labels, separator, "le=\"", bound, "\""),
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
  std::function<double()> read;
};

struct Family {
  Type type;
  std::string help;
  std::map<std::string, Series> series;
  // Instead of `series`; counters only.
  std::function<std::vector<CounterSample>()> collect;
};

void AppendCollected(absl::string_view name, const std::vector<CounterSample>& samples,
                     std::string* out) {
  std::map<std::string, uint64_t> series;
  for (const CounterSample& sample : samples) series[FormatLabels(sample.labels)] += sample.value;
  for (const auto& [labels, value] : series) {
    AppendSample(name, "", labels, absl::StrCat(value), out);
  }
}

}  // namespace

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
    const auto [family, is_new] =
        families.try_emplace(std::string(name), Family{type, std::string(help), {}, nullptr});
    CHECK(is_new || family->second.type == type);
    CHECK(family->second.collect == nullptr);
    return family->second.series[FormatLabels(labels)];
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
  if (series.histogram == nullptr)
    series.histogram = std::make_unique<Histogram>(std::move(bounds));
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
                                         std::function<std::vector<CounterSample>()> collect) {
  CHECK(IsName(name, true));
  CHECK(collect != nullptr);
  absl::MutexLock lock(&impl_->mutex);
  const bool is_new =
      impl_->families
          .try_emplace(std::string(name),
                       Family{Type::kCounter, std::string(help), {}, std::move(collect)})
          .second;
  CHECK(is_new);
}

std::string MetricRegistry::RenderPrometheusText() const {
  std::string text;
  absl::MutexLock lock(&impl_->mutex);
  text.reserve(impl_->rendered + impl_->rendered / 16);
  for (const auto& [name, family] : impl_->families) {
    absl::StrAppend(&text, "# HELP ", name, " ",
                    absl::StrReplaceAll(family.help, {{"\\", "\\\\"}, {"\n", "\\n"}}), "\n# TYPE ",
                    name, " ", TypeName(family.type), "\n");
    if (family.collect != nullptr) AppendCollected(name, family.collect(), &text);
    for (const auto& [labels, series] : family.series) {
      if (series.counter != nullptr) {
        AppendSample(name, "", labels, absl::StrCat(series.counter->value()), &text);
      } else if (series.gauge != nullptr) {
        AppendSample(name, "", labels, absl::StrCat(series.gauge->value()), &text);
      } else if (series.histogram != nullptr) {
        AppendHistogram(name, labels, series.histogram->Take(), &text);
      } else if (series.read != nullptr) {
        AppendSample(name, "", labels, FormatNumber(series.read()), &text);
      }
    }
  }
  impl_->rendered = text.size();
  return text;
}

}  // namespace byrnie
