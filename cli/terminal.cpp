#include "cli/terminal.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <string_view>

namespace berth::cli {
namespace {

constexpr std::size_t kLineBytesMax = 4096;
constexpr char kCtrlC = 3, kCtrlD = 4, kBackspace = 8, kCtrlU = 21, kDelete = 127;

void put(int terminal, std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(terminal, text.data(), text.size());
    if (written <= 0) return;  // who sees no prompt can still type
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// One letter less, which may be several bytes of UTF-8.
void drop_last(std::string& line) {
  while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xc0) == 0x80) line.pop_back();
  if (!line.empty()) line.pop_back();
}

std::optional<std::string> read_line(int terminal) {
  std::string line;
  for (;;) {
    char c = 0;
    if (::read(terminal, &c, 1) != 1 || c == kCtrlC || c == kCtrlD) return std::nullopt;
    if (c == '\n' || c == '\r') return line;
    if (c == kBackspace || c == kDelete) {
      drop_last(line);
    } else if (c == kCtrlU) {
      line.clear();
    } else if (line.size() < kLineBytesMax) {
      line += c;
    }
  }
}

}  // namespace

std::optional<std::string> read_secret_from_terminal(const std::string& prompt) {
  const int terminal = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0) return std::nullopt;
  std::optional<std::string> line;
  termios before{};
  if (::tcgetattr(terminal, &before) == 0) {
    termios hidden = before;
    // Without signals too: one would leave the terminal as it is now.
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | ISIG);
    hidden.c_cc[VMIN] = 1;
    hidden.c_cc[VTIME] = 0;
    if (::tcsetattr(terminal, TCSAFLUSH, &hidden) == 0) {
      put(terminal, prompt);
      line = read_line(terminal);
      (void)::tcsetattr(terminal, TCSAFLUSH, &before);
      put(terminal, "\n");
    }
  }
  ::close(terminal);
  return line;
}

}  // namespace berth::cli
