#include "common/grpc/openssl_engine.h"

#include <dlfcn.h>

#include <cstring>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

// Engines are deprecated since OpenSSL 3.0, and the one way its applications have to keep a key
// elsewhere that gRPC knows. These are OpenSSL's headers; no other file includes them, and this one
// none of BoringSSL's.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/ec.h>
#include <openssl/engine.h>
#include <openssl/x509.h>

namespace byrnie {
namespace {

constexpr char kEngine[] = "byrnie";
constexpr size_t kSha256Size = 32;

struct Key {
  std::string public_key;
  OpensslEngineKey::Sign sign;
};
using KeyPtr = std::shared_ptr<const Key>;

// What is called of OpenSSL. By name a call would be BoringSSL's, which is linked statically and
// has functions of the same names; so they are looked up in the library itself.
struct Openssl {
  decltype(&::ENGINE_new) engine_new;
  decltype(&::ENGINE_set_id) engine_set_id;
  decltype(&::ENGINE_set_name) engine_set_name;
  decltype(&::ENGINE_set_load_privkey_function) engine_set_load_privkey_function;
  decltype(&::ENGINE_add) engine_add;
  decltype(&::EC_KEY_OpenSSL) ec_key_openssl;
  decltype(&::EC_KEY_METHOD_new) ec_key_method_new;
  decltype(&::EC_KEY_METHOD_set_sign) ec_key_method_set_sign;
  decltype(&::EC_KEY_set_method) ec_key_set_method;
  decltype(&::EC_KEY_set_ex_data) ec_key_set_ex_data;
  decltype(&::EC_KEY_get_ex_data) ec_key_get_ex_data;
  decltype(&::EC_KEY_free) ec_key_free;
  decltype(&::d2i_EC_PUBKEY) d2i_ec_pubkey;
  decltype(&::CRYPTO_get_ex_new_index) crypto_get_ex_new_index;
  decltype(&::EVP_PKEY_new) evp_pkey_new;
  decltype(&::EVP_PKEY_free) evp_pkey_free;
  decltype(&::EVP_PKEY_assign) evp_pkey_assign;
};

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

bool FindAll(Openssl* api) {
  // Loaded already: gRPC depends on it. Its own version, because names may have moved in another.
  void* library = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_NOLOAD);
  return library != nullptr && Find(library, "ENGINE_new", &api->engine_new) &&
         Find(library, "ENGINE_set_id", &api->engine_set_id) &&
         Find(library, "ENGINE_set_name", &api->engine_set_name) &&
         Find(library, "ENGINE_set_load_privkey_function",
              &api->engine_set_load_privkey_function) &&
         Find(library, "ENGINE_add", &api->engine_add) &&
         Find(library, "EC_KEY_OpenSSL", &api->ec_key_openssl) &&
         Find(library, "EC_KEY_METHOD_new", &api->ec_key_method_new) &&
         Find(library, "EC_KEY_METHOD_set_sign", &api->ec_key_method_set_sign) &&
         Find(library, "EC_KEY_set_method", &api->ec_key_set_method) &&
         Find(library, "EC_KEY_set_ex_data", &api->ec_key_set_ex_data) &&
         Find(library, "EC_KEY_get_ex_data", &api->ec_key_get_ex_data) &&
         Find(library, "EC_KEY_free", &api->ec_key_free) &&
         Find(library, "d2i_EC_PUBKEY", &api->d2i_ec_pubkey) &&
         Find(library, "CRYPTO_get_ex_new_index", &api->crypto_get_ex_new_index) &&
         Find(library, "EVP_PKEY_new", &api->evp_pkey_new) &&
         Find(library, "EVP_PKEY_free", &api->evp_pkey_free) &&
         Find(library, "EVP_PKEY_assign", &api->evp_pkey_assign);
}

// OpenSSL's list of engines is the process's, and so is this one. Never destroyed: gRPC's threads
// may outlive main.
class Engine {
 public:
  static Engine& Get() {
    static Engine& engine = *new Engine;
    return engine;
  }

  bool usable() const { return usable_; }

  std::string Add(KeyPtr key) {
    absl::MutexLock lock(&mutex_);
    std::string id = absl::StrCat(++last_id_);
    keys_[id] = std::move(key);
    return id;
  }
  void Remove(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    keys_.erase(id);
  }

 private:
  Engine() { usable_ = FindAll(&api_) && Register(); }

  bool Register() {
    index_ = api_.crypto_get_ex_new_index(CRYPTO_EX_INDEX_EC_KEY, 0, nullptr, nullptr, &DupKey,
                                          &FreeKey);
    method_ = api_.ec_key_method_new(api_.ec_key_openssl());
    engine_ = api_.engine_new();
    if (index_ < 0 || method_ == nullptr || engine_ == nullptr) return false;
    api_.ec_key_method_set_sign(method_, &SignDigest, nullptr, nullptr);
    return api_.engine_set_id(engine_, kEngine) == 1 &&
           api_.engine_set_name(engine_, "keys of the agent") == 1 &&
           api_.engine_set_load_privkey_function(engine_, &LoadKey) == 1 &&
           api_.engine_add(engine_) == 1;
  }

  static EVP_PKEY* LoadKey(ENGINE*, const char* id, UI_METHOD*, void*) {
    Engine& self = Get();
    KeyPtr key;
    {
      absl::MutexLock lock(&self.mutex_);
      auto found = self.keys_.find(id);
      if (found == self.keys_.end()) return nullptr;
      key = found->second;
    }
    return self.MakeHandle(std::move(key));
  }

  EVP_PKEY* MakeHandle(KeyPtr key) {
    const auto* der = reinterpret_cast<const unsigned char*>(key->public_key.data());
    EC_KEY* ec = api_.d2i_ec_pubkey(nullptr, &der, static_cast<long>(key->public_key.size()));
    if (ec == nullptr) return nullptr;
    auto* held = new KeyPtr(std::move(key));
    if (api_.ec_key_set_ex_data(ec, index_, held) != 1) {
      delete held;
      api_.ec_key_free(ec);
      return nullptr;
    }
    // The method before the EVP_PKEY, which decides by it that the key is not OpenSSL's own.
    EVP_PKEY* handle = api_.evp_pkey_new();
    if (handle == nullptr || api_.ec_key_set_method(ec, method_) != 1 ||
        api_.evp_pkey_assign(handle, EVP_PKEY_EC, ec) != 1) {
      api_.evp_pkey_free(handle);
      api_.ec_key_free(ec);  // And what it holds.
      return nullptr;
    }
    return handle;
  }

  static int SignDigest(int, const unsigned char* digest, int digest_size, unsigned char* signature,
                        unsigned* size, const BIGNUM*, const BIGNUM*, EC_KEY* ec) {
    Engine& self = Get();
    auto* key = static_cast<KeyPtr*>(self.api_.ec_key_get_ex_data(ec, self.index_));
    if (key == nullptr || digest_size != static_cast<int>(kSha256Size)) return 0;
    const absl::StatusOr<std::string> made = (*key)->sign({digest, kSha256Size});
    if (!made.ok()) return 0;
    // The buffer has the size of the largest signature of the curve, which this cannot exceed.
    std::memcpy(signature, made->data(), made->size());
    *size = static_cast<unsigned>(made->size());
    return 1;
  }

  static int DupKey(CRYPTO_EX_DATA*, const CRYPTO_EX_DATA*, void** held, int, long, void*) {
    if (*held != nullptr) *held = new KeyPtr(*static_cast<KeyPtr*>(*held));
    return 1;
  }
  static void FreeKey(void*, void* held, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<KeyPtr*>(held);
  }

  Openssl api_ = {};
  bool usable_ = false;
  int index_ = -1;
  ENGINE* engine_ = nullptr;
  EC_KEY_METHOD* method_ = nullptr;
  absl::Mutex mutex_;
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, KeyPtr> keys_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::shared_ptr<const OpensslEngineKey>> OpensslEngineKey::Create(
    std::string public_key, Sign sign) {
  if (!Engine::Get().usable()) {
    return absl::InternalError("OpenSSL 3 with engines is not there to lend it a key");
  }
  std::shared_ptr<OpensslEngineKey> made(new OpensslEngineKey);
  made->id_ =
      Engine::Get().Add(std::make_shared<const Key>(Key{std::move(public_key), std::move(sign)}));
  made->name_ = absl::StrCat("engine:", kEngine, ":", made->id_);
  return made;
}

OpensslEngineKey::~OpensslEngineKey() { Engine::Get().Remove(id_); }

}  // namespace byrnie
