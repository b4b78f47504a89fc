// Each family is a persistent treap: a write copies the path from the root to its key and shares the rest, so a view is
// one pointer a family, costs nothing to keep and needs no lock to read. Priorities are hashes of the keys, which makes
// the shape, and so every run of a seeded simulation, depend on the content alone.
#include "storage/kv/memory_kv.h"

#include <mutex>
#include <tuple>
#include <utility>

namespace berth::kv {
namespace {

struct Item {
  std::string key;
  std::string value;
};

struct Node;
using NodePtr = std::shared_ptr<const Node>;
struct Node {
  std::shared_ptr<const Item> item;  ///< apart, so that copying a path copies no bytes
  std::uint64_t priority;
  NodePtr left;
  NodePtr right;
};

NodePtr make_node(const Node& like, NodePtr left, NodePtr right) {
  return std::make_shared<const Node>(Node{like.item, like.priority, std::move(left), std::move(right)});
}

/// FNV-1a with a finishing mix: sorted keys must not give sorted priorities.
std::uint64_t priority_of(std::string_view key) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : key) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}

/// Splits a tree that does not hold `key`: what is below it, what is above it.
std::pair<NodePtr, NodePtr> split(const NodePtr& node, std::string_view key) {
  if (!node) return {};
  if (node->item->key < key) {
    auto [below, above] = split(node->right, key);
    return {make_node(*node, node->left, std::move(below)), std::move(above)};
  }
  auto [below, above] = split(node->left, key);
  return {std::move(below), make_node(*node, std::move(above), node->right)};
}

/// Every key of `left` is below every key of `right`.
NodePtr merge(const NodePtr& left, const NodePtr& right) {
  if (!left) return right;
  if (!right) return left;
  if (left->priority >= right->priority) return make_node(*left, left->left, merge(left->right, right));
  return make_node(*right, merge(left, right->left), right->right);
}

NodePtr insert(const NodePtr& node, Node fresh) {
  if (!node) return std::make_shared<const Node>(std::move(fresh));
  const int order = fresh.item->key.compare(node->item->key);
  if (order == 0) {
    fresh.left = node->left;
    fresh.right = node->right;
    return std::make_shared<const Node>(std::move(fresh));
  }
  if (fresh.priority > node->priority) {  // so the key is not below here: it would have this same priority
    std::tie(fresh.left, fresh.right) = split(node, fresh.item->key);
    return std::make_shared<const Node>(std::move(fresh));
  }
  if (order < 0) return make_node(*node, insert(node->left, std::move(fresh)), node->right);
  return make_node(*node, node->left, insert(node->right, std::move(fresh)));
}

NodePtr remove(const NodePtr& node, std::string_view key) {
  if (!node) return nullptr;
  const int order = key.compare(node->item->key);
  if (order == 0) return merge(node->left, node->right);
  if (order < 0) return make_node(*node, remove(node->left, key), node->right);
  return make_node(*node, node->left, remove(node->right, key));
}

const Item* find(const Node* node, std::string_view key) {
  while (node != nullptr) {
    const int order = key.compare(node->item->key);
    if (order == 0) return node->item.get();
    node = order < 0 ? node->left.get() : node->right.get();
  }
  return nullptr;
}

/// Walks in key order with the path of nodes that are still to come.
class TreeCursor final : public Cursor {
 public:
  TreeCursor(NodePtr root, KeyRange range, Direction direction)
      : root_(std::move(root)), range_(std::move(range)), direction_(direction) {
    descend(root_.get());
  }
  bool valid() const override { return !path_.empty(); }
  std::string_view key() const override { return path_.back()->item->key; }
  std::string_view value() const override { return path_.back()->item->value; }
  void next() override {
    const Node* node = path_.back();
    path_.pop_back();
    descend(direction_ == Direction::forward ? node->right.get() : node->left.get());
  }
  Result<void> status() const override { return {}; }

 private:
  bool below(const Node& node) const { return node.item->key < range_.begin; }
  bool above(const Node& node) const { return !range_.end.empty() && node.item->key >= range_.end; }

  /// Adds the way to the first entry of `node`'s tree that is in range, and ends the scan when the next one is not.
  void descend(const Node* node) {
    while (node != nullptr) {
      const bool forward = direction_ == Direction::forward;
      if (below(*node)) {
        node = node->right.get();
      } else if (above(*node)) {
        node = node->left.get();
      } else {
        path_.push_back(node);
        node = forward ? node->left.get() : node->right.get();
      }
    }
  }

  NodePtr root_;
  KeyRange range_;
  Direction direction_;
  std::vector<const Node*> path_;
};

class MemoryView final : public View, public Reader {
 public:
  MemoryView(std::vector<NodePtr> roots, std::uint64_t version) : roots_(std::move(roots)), version_(version) {}

  std::uint64_t version() const override { return version_; }
  const Reader& reader(Tier) const override { return *this; }

  Result<std::optional<std::string>> get(Family family, std::string_view key) const override {
    const Item* item = find(roots_[family].get(), key);
    return item == nullptr ? std::optional<std::string>() : item->value;
  }
  Result<std::vector<std::optional<std::string>>> multi_get(Family family,
                                                            std::span<const std::string> keys) const override {
    std::vector<std::optional<std::string>> answers(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (const Item* item = find(roots_[family].get(), keys[i])) answers[i] = item->value;
    }
    return answers;
  }
  Result<std::unique_ptr<Cursor>> scan(Family family, KeyRange range, Direction direction) const override {
    return std::unique_ptr<Cursor>(std::make_unique<TreeCursor>(roots_[family], std::move(range), direction));
  }

 private:
  std::vector<NodePtr> roots_;
  std::uint64_t version_;
};

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(Schema schema) : schema_(std::move(schema)), roots_(schema_.size()) {}

  Result<std::shared_ptr<const View>> view() override {
    const std::lock_guard lock(mutex_);
    return std::shared_ptr<const View>(std::make_shared<MemoryView>(roots_, version_));
  }

  Result<void> write(std::span<const Write> writes) override {
    std::vector<NodePtr> roots = roots_;  // only the one writer changes them
    for (const Write& write : writes) {
      NodePtr& root = roots[write.family];
      if (write.value) {
        auto item = std::make_shared<const Item>(Item{write.key, *write.value});
        root = insert(root, Node{std::move(item), priority_of(write.key), nullptr, nullptr});
      } else if (find(root.get(), write.key) != nullptr) {
        root = remove(root, write.key);
      }
    }
    const std::lock_guard lock(mutex_);
    roots_ = std::move(roots);
    ++version_;
    return {};
  }

  Result<std::uint64_t> last_log_number(Family log) override {
    const std::lock_guard lock(mutex_);
    const Node* node = roots_[log].get();
    if (node == nullptr) return std::uint64_t{0};
    while (node->right) node = node->right.get();
    if (node->item->key.size() != 8) {
      return make_error(ErrorCode::corrupt, "a stored log is damaged", "a log key that is not 8 bytes long");
    }
    return read_u64(node->item->key);
  }

  const Schema& schema() const override { return schema_; }
  Result<void> flush() override { return {}; }

 private:
  Schema schema_;
  std::mutex mutex_;
  std::vector<NodePtr> roots_;
  std::uint64_t version_ = 0;
};

}  // namespace

std::unique_ptr<Store> make_memory_store(Schema schema) { return std::make_unique<MemoryStore>(std::move(schema)); }

}  // namespace berth::kv
