/**
 * What `Bun.serve` and `fetch` can't do, by name. A test of the contract that names a deviation is skipped for this engine;
 * with `CONTRACT_DEVIATIONS=check` it has to fail. `bun run docs` writes the same into ARCHITECTURE.md.
 */
import type { Capabilities } from "../../seam/capabilities.ts";

export const BUN_CAPABILITIES = {
  trailers: false,
  tunnels: false,
  deviations: {
    "the answer's `Content-Length` becomes chunked when the body streams": {
      line: "H1",
      reason: "`Bun.serve` decides the framing",
      fact: "Content-Length: 200000 → Transfer-Encoding: chunked; no header or kind of stream keeps it",
    },
    "a request without `User-Agent` or `Accept` gets Bun's": {
      line: "H1",
      reason: "`fetch` adds them",
      fact: "GET without either → User-Agent: Bun/1.4.4, Accept: */*; they can be set but not left out",
    },
    "an empty line before a request is answered with 400": {
      line: "H1",
      reason: "`Bun.serve` takes it for a request line",
      fact: "\\r\\nGET / HTTP/1.1 → 400 (RFC 9112 §2.2: it should be passed over)",
    },
    "HTTP/1.2 to HTTP/1.9 are answered with 505": {
      line: "H1",
      reason: "`Bun.serve` knows 1.0 and 1.1",
      fact: "HTTP/1.2 → 505, as all that is no version (RFC 9110 §2.5: as 1.1)",
    },
    "a space before a chunk's extension is answered with 400": {
      line: "H1",
      reason: "`Bun.serve` reads chunks",
      fact: "`5 ;a` → 400; extensions of any length, also with DEL, are passed over",
    },
    "a method that Bun does not know is answered with a closed connection": {
      line: "H1",
      reason: "`Bun.serve` knows a list of methods",
      fact: "FROBNICATE → closed without a byte; PROPFIND, PURGE, REPORT and the like pass",
    },
    "a second request that comes before the first is answered closes the connection": {
      line: "H1",
      reason: "`Bun.serve` with an asynchronous handler",
      fact: "two GETs in one packet → closed without a byte",
    },
    "a GET with a body loses it": {
      line: "H1",
      reason: "`Bun.serve` gives none",
      fact: "GET with Content-Length: 15 → the app gets no body",
    },
    "statuses from 600 become 502": {
      line: "H1",
      reason: "`Response` refuses them",
      fact: "799 → RangeError in `new Response`",
    },
    "reason phrases; 1xx answers; trailers": {
      line: "H1",
      reason: "not passed by `fetch`",
      fact: "`200 Fine by me` → `200 OK`; 103 is swallowed; X-Sum: 1 behind the last chunk is lost",
    },
    "at most 64 idle connections to apps are kept": {
      line: "H1",
      reason: "`fetch`'s pool",
      fact: "100 requests at once, twice → more than 100 connections to the app",
    },
    "order and case of header lines; repeated headers are joined": {
      line: "H4",
      reason: "`Headers`",
      fact: "X-R: 3 and X-R: 4 → `x-r: 3, 4`; lines are sorted, well-known names change their case",
    },
    "a request with trailers is answered with 400": {
      line: "H5",
      reason: "`Bun.serve` reads none",
      fact: "chunked body and X-Sum: 1 behind its last chunk → 400; the app is not asked when the body is short",
    },
    "`/./` and `/../` in a path are resolved, a backslash becomes `/`": {
      line: "H7",
      reason: "`Request.url` is a parsed URL",
      fact: "/a/./b/../c → /a/c; /%2e%2e/a → /a; the target as it came can't be had",
    },
    "slashes at the start of a path become one; quotes, `<>` and bytes above 127 are encoded": {
      line: "H7",
      reason: "`Request.url` and `fetch` parse it",
      fact: "//a → /a; é as one byte → %EF%BF%BD",
    },
    "`OPTIONS *` is answered with 400": {
      line: "H7",
      reason: "`Bun.serve` wants a path",
      fact: "OPTIONS * → 400; in absolute form without a path → OPTIONS /",
    },
    "an answer to HEAD without `Content-Length` gets `Content-Length: 0`": {
      line: "H8",
      reason: "`Bun.serve` adds it",
      fact: "HEAD whose app sends no Content-Length → Content-Length: 0",
    },
    "a reset in a body that ends with its connection is taken for its end": {
      line: "H9",
      reason: "`fetch` does not tell",
      fact: "no Content-Length, not chunked, RST in mid-body → the body ends as if it were complete",
    },
    "a body in chunks is whole without its last empty line": {
      line: "H9",
      reason: "`Bun.serve` and `fetch` take the last chunk's size for the end",
      fact: "`0\\r\\n` and FIN → the app gets the request; what follows on a connection is read as trailers, never as a request",
    },
    "a connection to an app is used again though bytes of no answer came with the last one": {
      line: "H9",
      reason: "`fetch` drops them",
      fact: "304 and a body, or chunks and a second answer, in one packet → dropped, the connection is kept; what comes while it is idle closes it",
    },
    "a GET or HEAD on a reused connection that the app resets may be sent again": {
      line: "H10",
      reason: "`fetch` repeats it by itself",
      fact: "an app that resets upon the second request of a connection gets it again on a new one",
    },
    "a space before a colon in an answer becomes 502": {
      line: "H4",
      reason: "`fetch` refuses it",
      fact: "`X-A : 1` → Malformed_HTTP_Response (RFC 9112 §5.1: to be taken out)",
    },
    "an answer's head is completed with its first body byte": {
      line: "H11",
      reason: "`Bun.serve`",
      fact: "a head whose body is silent lacks its empty line until the first chunk comes",
    },
    "the authority of an absolute-form target is not compared with `Host`": {
      line: "H12",
      reason: "`Bun.serve` drops it",
      fact: "GET http://other.example/x, Host: me:1 → `Request.url` is http://me:1/x; the circuit is chosen by Host",
    },
    "a request of 199 header lines or more is answered with 431": {
      line: "H12",
      reason: "`Bun.serve` has no more room",
      fact: "198 lines pass, 199 give 431 at any size",
    },
    "an answer of 256 header lines or more becomes 502": {
      line: "H12",
      reason: "`fetch` refuses it",
      fact: "255 lines pass, 256 give Malformed_HTTP_Response",
    },
    "an HTTP client that does not read keeps its connection over a removed route for some seconds": {
      line: "R3",
      reason: "`Bun.serve` closes it by a time limit only",
      fact: "an error of the answer's stream is noticed with the client's next read; server.timeout(request, 1) closes after 2 to 6 s",
    },
    "a WebSocket peer that dies with unread data is noticed only when it has had time to read it": {
      line: "W5",
      reason: "a ping stands behind it",
      fact: "two kernels hold some 6 MB: a reader of 100 KB/s needs 60 s to see a ping, and was cut (W6) while 60 s were the limit",
    },
    "an Upgrade of HTTP/1.0 is taken": {
      line: "W2",
      reason: "`Bun.serve` does not say which version it was",
      fact: "GET / HTTP/1.0 with a handshake → 101 (RFC 9110 §7.8: it should be passed over); who comes so is let in as others are",
    },
    "WebSocket frames are made anew: fragments joined, never compressed": {
      line: "W3",
      reason: "two WebSocket endpoints",
      fact: "a message in two fragments arrives in one frame; permessage-deflate is not offered",
    },
  },
} as const satisfies Capabilities;
