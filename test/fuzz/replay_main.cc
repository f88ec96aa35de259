// Runs a fuzz target on its seeds, on mutations of them, the same ones each time, and on the inputs
// that fuzzing has kept: the part of fuzzing that a unit test can promise. The argument names the
// folder of the kept inputs, which need not exist. Writes a test.xml with one case, so that it
// counts like every other test.

#include <dirent.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

constexpr int kMutationsPerSeed = 2000;
constexpr size_t kMaxInput = 64 * 1024;

std::string Mutate(std::string input, const std::vector<std::string>& seeds,
                   std::mt19937_64& random) {
  const int rounds = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < rounds; ++i) {
    const size_t at = input.empty() ? 0 : random() % input.size();
    switch (random() % 6) {
      case 0:
        if (!input.empty()) input[at] = static_cast<char>(random());
        break;
      case 1:
        input.insert(at, 1, static_cast<char>(random()));
        break;
      case 2:
        if (!input.empty()) input.erase(at, 1 + random() % 16);
        break;
      case 3:
        input.resize(at);
        break;
      case 4: {
        const std::string& other = seeds[random() % seeds.size()];
        input.insert(at, other.substr(other.empty() ? 0 : random() % other.size()));
        break;
      }
      default:
        if (!input.empty()) input.insert(at, std::string(1 + random() % 256, input[at]));
        break;
    }
  }
  if (input.size() > kMaxInput) input.resize(kMaxInput);
  return input;
}

void Run(const std::string& input) {
  // A copy on the heap of exactly this size, so that AddressSanitizer sees a read past its end.
  std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> ReadFolder(const std::string& path) {
  std::vector<std::string> inputs;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
  if (folder == nullptr) return inputs;
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream file(path + "/" + entry->d_name, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

int ReplayMain(const char* corpus, int mutations) {
  std::mt19937_64 random(20230416);
  std::vector<std::string> seeds = FuzzSeeds();
  seeds.emplace_back();
  size_t runs = 0;
  for (const std::string& seed : seeds) {
    Run(seed);
    ++runs;
    for (int i = 0; i < mutations; ++i, ++runs) Run(Mutate(seed, seeds, random));
  }
  if (corpus != nullptr) {
    for (const std::string& input : ReadFolder(corpus)) {
      Run(input);
      ++runs;
    }
  }
  std::printf("%zu inputs\n", runs);
  if (const char* path = std::getenv("XML_OUTPUT_FILE")) {
    if (std::FILE* file = std::fopen(path, "w")) {
      std::fputs(
          "<testsuites><testsuite><testcase name=\"survives its seeds and mutations\"/>"
          "</testsuite></testsuites>\n",
          file);
      std::fclose(file);
    }
  }
  return 0;
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) {
  return byrnie::ReplayMain(argc > 1 ? argv[1] : nullptr,
                            argc > 2 ? std::atoi(argv[2]) : byrnie::kMutationsPerSeed);
}
