#!/usr/bin/env python3
"""Speed of `rmoe serve` under load: tokens per second and latencies, for several numbers of clients.

    rmoe serve RUN --port 8000 & tools/serve_load.py http://127.0.0.1:8000

Every client has one connection and asks again as soon as it has its answer; answers are streamed, so that the time to
the first token is seen. No package beyond Python is needed.
"""

import argparse
import http.client
import json
import threading
import time
import urllib.parse


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Client:
    def __init__(self, url, key):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=600)
        self.headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def post(self, path, body):
        self.connection.request("POST", path, json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"serve_load: {path}: {answer.status}: {answer.read().decode()}")
        return answer

    def tokenize(self, text):
        """Seconds for the smallest of requests."""
        begin = time.perf_counter()
        self.post("/tokenize", {"prompt": text}).read()
        return time.perf_counter() - begin

    def complete(self, prompt, tokens, seed):
        """Seconds to the first token and to the last, and the tokens generated."""
        begin = time.perf_counter()
        answer = self.post("/v1/completions", {"prompt": prompt, "max_tokens": tokens, "seed": seed, "stream": True,
                                               "stream_options": {"include_usage": True}})
        first, generated = None, 0
        for line in answer:
            if first is None and line.startswith(b"data: "):
                first = time.perf_counter() - begin
            if line.startswith(b"data: {") and b'"usage"' in line:
                generated = json.loads(line[6:])["usage"]["completion_tokens"]
        return first, time.perf_counter() - begin, generated


def load(options, clients):
    """One line of the table."""
    results, lock = [], threading.Lock()

    def work(number):
        client = Client(options.url, options.api_key)
        for i in range(options.requests):
            result = client.complete(options.prompt, options.tokens, 1000 * number + i)
            with lock:
                results.append(result)

    begin = time.perf_counter()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    first, whole = [r[0] for r in results], [r[1] for r in results]
    print(f"| {clients} | {sum(r[2] for r in results) / seconds:.0f} | {1e3 * percentile(first, 0.5):.1f} | "
          f"{1e3 * percentile(first, 0.95):.1f} | {1e3 * percentile(whole, 0.5):.1f} | "
          f"{1e3 * percentile(whole, 0.95):.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--clients", default="1,8,64", help="numbers of clients, one line each")
    parser.add_argument("--requests", type=int, default=4, help="of every client")
    parser.add_argument("--tokens", type=int, default=64, help="generated per request")
    parser.add_argument("--prompt", default="In the beginning")
    options = parser.parse_args()
    client = Client(options.url, options.api_key)
    small = [client.tokenize("a") for _ in range(300)]
    print(f"/tokenize: median {1e3 * percentile(small, 0.5):.2f} ms, 95 % below {1e3 * percentile(small, 0.95):.2f} ms")
    print("| clients | tokens/s | first token, ms | 95 % | whole answer, ms | 95 % |")
    print("|---|---|---|---|---|---|")
    for clients in options.clients.split(","):
        load(options, int(clients))


if __name__ == "__main__":
    main()
