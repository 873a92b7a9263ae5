#include "train/tasks/requests.hpp"

#include "train/tasks/python_text.hpp"

namespace rmoe {
namespace {

using Ids = std::vector<int32_t>;

int32_t first_token(const Tokenizer& tokenizer) {
  const std::optional<int32_t> prefix = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
  RMOE_CHECK(prefix, "there is no context, and the tokenizer no token that begins or ends a text");
  return *prefix;
}

ScoreRequest joined(Ids context, std::span<const int32_t> continuation) {
  const auto first = int64_t(context.size());
  context.insert(context.end(), continuation.begin(), continuation.end());
  return {std::move(context), first};
}

ScoreRequest without_context(const Tokenizer& tokenizer, const std::string& continuation) {
  const int32_t prefix = first_token(tokenizer);
  Ids tokens = tokenizer.encode(continuation);
  if (!tokens.empty() && tokens[0] == prefix) return {std::move(tokens)};  // it begins the text already
  return joined({prefix}, tokens);
}

/// Two encodings: what a choice adds can change how the end of the context is cut into tokens. The context
/// keeps its own, and the choice is what the whole has behind as many tokens.
ScoreRequest behind(const Tokenizer& tokenizer, const std::string& context, const Ids& context_tokens,
                    const std::string& continuation) {
  const Ids whole = tokenizer.encode(context + continuation);
  const size_t begin = std::min(whole.size(), context_tokens.size());
  return joined(context_tokens, std::span(whole).subspan(begin));
}

void truncate(ScoreRequest& request, int64_t max_length) {
  const int64_t excess = int64_t(request.tokens.size()) - (max_length + 1);
  if (max_length == 0 || excess <= 0) return;
  RMOE_CHECK(request.first - excess >= 1, "a choice has ", int64_t(request.tokens.size()) - request.first,
             " tokens, more than the ", max_length, " the model reads: give a larger --max-length");
  request.tokens.erase(request.tokens.begin(), request.tokens.begin() + excess);
  request.first -= excess;
}

}  // namespace

std::vector<ScoreRequest> requests_of(const Question& question, const Tokenizer& tokenizer,
                                      int64_t max_length) {
  const std::string context(python::rstrip(question.context));
  const std::string space = question.context.substr(context.size());
  const Ids context_tokens = tokenizer.encode(context);
  std::vector<ScoreRequest> requests;
  for (const std::string& choice : question.choices) {
    const std::string continuation = space + " " + choice;
    ScoreRequest request = context.empty() ? without_context(tokenizer, continuation)
                                           : behind(tokenizer, context, context_tokens, continuation);
    RMOE_CHECK(request.first >= 1 && request.first < int64_t(request.tokens.size()), "\"", continuation,
               "\" adds no token to its context");
    truncate(request, max_length);
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace rmoe
