// What one server takes on. Everything a client can make grow has a bound here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rmoe::serve {

/// Of the computation.
struct EngineLimits {
  int64_t prompt_tokens = 8192;  // of one prompt
  int64_t max_tokens = 4096;     // generated per choice
  int64_t concurrent = 64;       // sequences that generate at once
  int64_t cache_tokens =
      262144;              // sum over these of prompt + max_tokens: what their keys and values can come to
  int64_t requests = 256;  // at work or waiting; one more is answered 503
};

/// Of the connections.
struct HttpLimits {
  size_t body_bytes = size_t{4} << 20;
  size_t head_bytes = size_t{64} << 10;
  int64_t connections = 256;    // one more waits until an idle one was closed
  double read_seconds = 30;     // for a whole request to arrive
  double write_seconds = 30;    // for the client to take what is sent at once
  double idle_seconds = 75;     // between two requests
  double answer_seconds = 300;  // for the whole answer to a request
};

}  // namespace rmoe::serve
