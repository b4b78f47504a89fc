#include "tests/protocol/transcript.h"

#include <sstream>

namespace berth::test {

namespace {

bool begins_step(std::string_view line) {
  return line.starts_with(">>>") || line.starts_with("<<<") || line.starts_with("---") || line.starts_with("let ") ||
         line.starts_with("option ") || line.starts_with("#");
}

std::vector<std::string> words_of(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

Error bad(std::size_t line, std::string message) {
  return make_error(ErrorCode::request_invalid, "line " + std::to_string(line) + ": " + std::move(message));
}

/// The lines of a block: a head up to the first empty line, and a body; empty lines at the end are for the eye.
void take_block(const std::vector<std::string>& lines, Step& step) {
  std::size_t end = step.text_end;
  while (end > step.text_begin && lines[end - 1].empty()) --end;
  step.text_end = end;
  bool in_body = false;
  bool first = true;
  for (std::size_t i = step.text_begin; i < end; ++i) {
    if (!in_body && !step.raw && lines[i].empty()) {
      in_body = true;
      first = true;
      continue;
    }
    std::string& into = in_body ? step.body : step.head;
    if (!first && !step.raw) into += '\n';
    into += lines[i];
    first = false;
  }
}

Result<void> take_connection(Step& step, std::size_t at) {
  if (step.words.size() > at + 1) return bad(step.line, "too many words");
  if (step.words.size() == at + 1) step.connection = step.words[at];
  return {};
}

}  // namespace

Result<Transcript> parse_transcript(std::string_view text) {
  Transcript transcript;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) transcript.lines.push_back(line);
  const auto& lines = transcript.lines;
  for (std::size_t i = 0; i < lines.size();) {
    const std::string& line = lines[i];
    Step step;
    step.line = i + 1;
    ++i;
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with("let ")) {
      const std::size_t equals = line.find(" = ");
      if (equals == std::string::npos) return bad(step.line, "let NAME = VALUE");
      step.kind = Step::Kind::let;
      step.words = {line.substr(4, equals - 4)};
      step.head = line.substr(equals + 3);
    } else if (line.starts_with("option ")) {
      step.kind = Step::Kind::option;
      step.words = words_of(line.substr(7));
    } else if (line.starts_with("---")) {
      step.kind = Step::Kind::act;
      step.words = words_of(line.substr(3));
    } else if (line.starts_with(">>>") || line.starts_with("<<<")) {
      step.words = words_of(line.substr(3));
      const std::string word = step.words.empty() ? "" : step.words[0];
      const bool request = line.starts_with(">>>");
      step.kind = request             ? Step::Kind::request
                  : word == "closed"  ? Step::Kind::closed
                  : word == "silence" ? Step::Kind::silence
                                      : Step::Kind::reply;
      step.raw = request && word == "raw";
      const bool named = step.raw || step.kind == Step::Kind::closed || step.kind == Step::Kind::silence;
      BERTH_CHECK(take_connection(step, named ? 1 : 0));
      step.text_begin = i;
      while (i < lines.size() && !begins_step(lines[i])) ++i;
      step.text_end = i;
      take_block(lines, step);
    } else {
      return bad(step.line, "expected >>>, <<<, ---, let, option or a comment");
    }
    transcript.steps.push_back(std::move(step));
  }
  return transcript;
}

}  // namespace berth::test
