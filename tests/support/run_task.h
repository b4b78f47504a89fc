// Runs one Task to its end on a context of its own, for tests that have no server around them.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>

#include "base/task.h"

namespace berth {

template <class T>
Result<T> run_task(Task<T> task) {
  asio::io_context context(1);
  std::optional<Result<T>> answer;
  auto done = [&answer](std::exception_ptr stray, Result<T> result) {
    if (stray) std::rethrow_exception(stray);
    answer.emplace(std::move(result));
  };
  asio::co_spawn(context, std::move(task), done);
  context.run();
  return std::move(*answer);
}

}  // namespace berth
