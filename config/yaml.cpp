#include "config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>
#include <spdlog/fmt/fmt.h>

#include <optional>
#include <sstream>

#include "base/json_text.h"

namespace berth::config {
namespace {

std::string place(const YAML::Mark& mark, std::string_view what) {
  return fmt::format("{}:{}: {}", mark.line + 1, mark.column + 1, what);
}

/// Builds the tree from the parser's events. The first problem is kept, and everything after it is let pass by.
class Builder final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, "", anchor, Node::Kind::null, ""); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { fail(mark, "aliases are not supported"); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    add(mark, tag, anchor, Node::Kind::scalar, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::map);
  }
  void OnMapEnd() override { close(); }

  void fail(const YAML::Mark& mark, std::string_view what) {
    if (!problem) problem = place(mark, what);
  }

  std::optional<std::string> problem;
  Node root;

 private:
  Node* add(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind,
            const std::string& text) {
    if (anchor != 0) fail(mark, "anchors are not supported");
    if (!tag.empty() && tag != "?" && tag != "!") fail(mark, "tags are not supported");
    if (++nodes_ > kYamlNodesMax) fail(mark, fmt::format("more than {} values", kYamlNodesMax));
    if (problem) return nullptr;
    Node node;
    node.kind = kind;
    node.text = text;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    if (path_.empty()) {
      root = std::move(node);
      return &root;
    }
    path_.back()->items.push_back(std::move(node));
    return &path_.back()->items.back();
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    if (path_.size() >= kYamlDepthMax) fail(mark, fmt::format("nested more than {} deep", kYamlDepthMax));
    // The pointers stay good: a node's items only grow while it is the last of the path.
    if (Node* node = add(mark, tag, anchor, kind, "")) path_.push_back(node);
  }
  void close() {
    if (!problem) path_.pop_back();
  }

  std::vector<Node*> path_;
  std::size_t nodes_ = 0;
};

/// Where the first byte that is no UTF-8 stands. The parser would let it through, and what is said about it or printed
/// later would be a file that cannot be read.
std::optional<std::string> not_utf8(std::string_view text) {
  std::size_t line = 1, column = 1;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = utf8_sequence_size(text.substr(at, 4));
    if (size == 0) return fmt::format("{}:{}: a byte that is not UTF-8", line, column);
    if (text[at] == '\n') {
      ++line;
      column = 0;
    }
    ++column;
    at += size;
  }
  return std::nullopt;
}

/// Where the first line that is indented with a tab has it: a mistake that the parser reports as some other one.
std::optional<std::string> tab_in_indent(std::string_view text) {
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t indent = text.find_first_not_of(' ');
    if (indent != text.npos && text[indent] == '\t')
      return fmt::format("{}:{}: a tab; YAML is indented with spaces", line, indent + 1);
    const std::size_t end = text.find('\n');
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return std::nullopt;
}

}  // namespace

Result<Node> parse_yaml(std::string_view text) {
  auto wrong = [](std::string what) { return make_error(ErrorCode::request_invalid, std::move(what)); };
  if (text.size() > kFileBytesMax) return wrong(fmt::format("1:1: larger than {} bytes", kFileBytesMax));
  if (auto place = not_utf8(text)) return wrong(*place);
  Builder builder;
  // The one place where yaml-cpp's exceptions end.
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    bool any = parser.HandleNextDocument(builder);
    if (builder.problem) return wrong(*builder.problem);
    Node root = std::move(builder.root);
    Builder second;
    if (any && parser.HandleNextDocument(second))
      return wrong(fmt::format("{}:{}: a second document; a file holds one", second.root.line, second.root.column));
    return root;
  } catch (const YAML::Exception& error) {
    if (auto tab = tab_in_indent(text)) return wrong(*tab);
    return wrong(place(error.mark, fmt::format("not YAML: {}", error.msg)));
  } catch (const std::exception& error) {
    return wrong(fmt::format("1:1: not YAML: {}", error.what()));
  }
}

}  // namespace berth::config
