/** What speaks of one connection, what we say ourselves, and names that look like it (RFC 9110 §7.6.1, §7.8, §10.1.1). */
import {
  also,
  answered,
  deviating,
  get,
  HIDDEN,
  passed,
  passedLast,
  PIPELINED,
  post,
  refused,
  unfinished,
  type RequestRow,
} from "../row.ts";

const FORWARDING = "security 17, RFC 9110 §5.1";

/** Lines of a client that nobody has vouched for, and the name under which an app would read it. */
const NOT_OURS: [line: string, name: string][] = [
  ["X-Forwarded-For: 1.2.3.4", "1.2.3.4"],
  ["x-forwarded-for: 1.2.3.4", "1.2.3.4"],
  ["X_Forwarded_For: 1.2.3.4", "1.2.3.4"],
  ["X-Forwarded_For: 1.2.3.4", "1.2.3.4"],
  ["X_Forwarded-For: 1.2.3.4", "1.2.3.4"],
  ["X.Forwarded.For: 1.2.3.4", "1.2.3.4"],
  ["X!Forwarded!For: 1.2.3.4", "1.2.3.4"],
  ["X-Forwarded-Host: evil.example", "evil.example"],
  ["X_Forwarded_Host: evil.example", "evil.example"],
  ["X-Forwarded-Proto: gopher", "gopher"],
  ["X-Forwarded-Port: 987654321", "987654321"],
  ["X-Forwarded-Prefix: /evil", "/evil"],
  ["X-Forwarded-Server: evil.example", "evil.example"],
  ["X-Forwarded: for=1.2.3.4", "1.2.3.4"],
  ["Forwarded: for=1.2.3.4;host=evil.example", "1.2.3.4"],
  ["FORWARDED: for=1.2.3.4", "1.2.3.4"],
  ["X-Real-IP: 1.2.3.4", "1.2.3.4"],
  ["X_Real_IP: 1.2.3.4", "1.2.3.4"],
  ["X-Scheme: gopher", "gopher"],
  ["X-Forwarded-Ssl: evil", "evil"],
  ["Front-End-Https: evil", "evil"],
  ["Proxy: http://evil.example", "evil.example"],
  ["Proxy-Authorization: Basic evil", "Basic evil"],
  ["Proxy_Authorization: Basic evil", "Basic evil"],
  ["Proxy-Connection: evil", "evil"],
  ["Keep-Alive: evil", "evil"],
  ["Trailer: X-Evil", "X-Evil"],
  ["X_AppProxy_Hop: 987654321", "987654321"],
  ["X-AppProxy-Hop: 1\r\nX_AppProxy_Hop: 987654321", "987654321"],
  ["Connection: X-Evil\r\nX-Evil: evil", "evil"],
  ["Connection: close, X-Evil, keep-alive\r\nX-Evil: evil", "evil"],
  ["Connection: X-Evil\r\nConnection: X-Other\r\nX-Evil: evil", "evil"],
  ["Connection: x-forwarded-for\r\nX-Forwarded-For: 1.2.3.4", "1.2.3.4"],
  ["Connection: x_forwarded_for\r\nX_Forwarded_For: 1.2.3.4", "1.2.3.4"],
];

/** What `Connection` can't take out of a message. */
const STAYS: [named: string, has: [string, string]][] = [
  ["x-forwarded-for", ["x-forwarded-for", "127.0.0.1"]],
  ["X-Forwarded-Proto", ["x-forwarded-proto", "http"]],
  ["forwarded", ["x-forwarded-for", "127.0.0.1"]],
  ["host", ["host", "HOST"]],
  ["close, Host", ["host", "HOST"]],
  ["cookie", ["cookie", "a=b"]],
  ["x-forwarded-host, cookie", ["cookie", "a=b"]],
];

export const HOPS: RequestRow[] = [
  ...NOT_OURS.map(([line, value]): RequestRow => {
    const isLast = line.includes("close");
    return {
      name: `a client's own ${line.replaceAll("\r\n", " and ")}`,
      rfc: line.startsWith("Connection") ? "RFC 9110 §7.6.1" : FORWARDING,
      bytes: get(`${line}\r\n`),
      outcome: isLast ? passedLast("GET /a") : passed("GET /a"),
      lacks: [value],
    };
  }),
  ...STAYS.map(([named, has]): RequestRow => {
    const isLast = named.includes("close");
    return {
      name: `Connection: ${named} takes none of it out`,
      rfc: "RFC 9110 §7.6.1: no field that is for all recipients",
      bytes: get(`Connection: ${named}\r\nCookie: a=b\r\n`),
      outcome: isLast ? passedLast("GET /a") : passed("GET /a"),
      has: [has],
    };
  }),
  {
    name: "Connection: content-length takes no length out",
    rfc: "RFC 9112 §6.3",
    bytes: post(`Connection: content-length\r\nContent-Length: ${HIDDEN.length}\r\n`, HIDDEN),
    outcome: passed(`POST /a ${HIDDEN}`),
  },
  {
    name: "Connection: transfer-encoding takes no framing out",
    rfc: "RFC 9112 §6.3",
    bytes: post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    outcome: passed("POST /a hello"),
  },
  {
    name: "Connection: close ends the connection, whatever follows",
    rfc: "RFC 9112 §9.6",
    bytes: get("Connection: close\r\n"),
    outcome: passedLast("GET /a"),
  },
  {
    name: "Connection: close in capitals, in a list, on a line of its own",
    rfc: "RFC 9110 §7.6.1",
    bytes: get("Connection: keep-alive\r\nConnection: x-a, CLOSE\r\n"),
    outcome: passedLast("GET /a"),
  },
  {
    name: "Connection: a member that only looks like close",
    rfc: "RFC 9110 §7.6.1",
    bytes: get("Connection: closed, clos, xclose\r\n"),
    outcome: passed("GET /a"),
  },
  {
    name: "Upgrade: h2c is passed over, and its settings with it",
    rfc: "RFC 9110 §7.8, RFC 9113 §3.1",
    bytes: get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"),
    outcome: passed("GET /a"),
    lacks: ["h2c", "AAMAAABk"],
  },
  {
    name: "Upgrade: h2c that Connection does not name",
    rfc: "RFC 9110 §7.8",
    bytes: get("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"),
    outcome: passed("GET /a"),
    lacks: ["h2c"],
  },
  {
    name: "Upgrade: h2c among others",
    rfc: "RFC 9110 §7.8",
    bytes: get("Connection: Upgrade\r\nUpgrade: websocket2, h2c\r\n"),
    outcome: passed("GET /a"),
    lacks: ["h2c"],
  },
  {
    name: "Upgrade: h2c of a POST, whose body is its body",
    rfc: "RFC 9110 §7.8",
    bytes: post(`Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: ${HIDDEN.length}\r\n`, HIDDEN),
    outcome: passed(`POST /a ${HIDDEN}`),
    lacks: ["h2c"],
  },
  {
    name: "Upgrade: websocket of a POST, which is none",
    rfc: "RFC 6455 §4.1: GET alone",
    bytes: post(`Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: ${HIDDEN.length}\r\n`, HIDDEN), // prettier-ignore
    outcome: passed(`POST /a ${HIDDEN}`),
  },
  {
    name: "Upgrade: TLS is passed over",
    rfc: "RFC 2817 §3.1",
    bytes: "OPTIONS * HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n",
    outcome: passed("OPTIONS *"),
    serve: deviating("`OPTIONS *` is answered with 400", refused()),
  },
  {
    name: "Expect: 100-continue with the body behind it at once",
    rfc: "RFC 9110 §10.1.1",
    bytes: post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
    outcome: passed("POST /a hello"),
  },
  {
    name: "Expect: 100-continue without a body",
    rfc: "RFC 9110 §10.1.1",
    bytes: get("Expect: 100-continue\r\n"),
    outcome: passed("GET /a"),
  },
  {
    name: "Expect: 100-continue in HTTP/1.0",
    rfc: "RFC 9110 §10.1.1",
    bytes:
      "POST /a HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    outcome: passed("POST /a hello"),
    serve: also("RFC 9112 §9.3: it may be closed", passedLast("POST /a hello")),
  },
  {
    name: "Expect: 100-continue with both framings",
    rfc: "RFC 9112 §6.1",
    bytes: post("Expect: 100-continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    outcome: refused(),
  },
  {
    name: "TE: chunked asks for nothing",
    rfc: "RFC 9110 §10.1.4",
    bytes: get("TE: chunked\r\nConnection: TE\r\n"),
    outcome: passed("GET /a"),
    lacks: ["chunked"],
  },
  {
    name: "two good ones behind each other",
    rfc: "RFC 9112 §9.3.2",
    bytes: get() + get("", "/b"),
    outcome: passed("GET /a", "GET /b"),
    serve: deviating(PIPELINED, { statuses: [], upstream: ["GET /a"], goesOn: false }),
  },
  {
    name: "a good one before a refused one",
    rfc: "RFC 9112 §9.3.2",
    bytes: get() + get("X A: 1\r\n", "/b"),
    outcome: { statuses: [200, 400], upstream: ["GET /a"], goesOn: false },
    serve: deviating(PIPELINED, { statuses: [400], upstream: ["GET /a"], goesOn: false }),
  },
  {
    name: "a good one behind a refused one is nobody's",
    rfc: "RFC 9112 §9.6",
    bytes: get("X A: 1\r\n") + HIDDEN,
    outcome: refused(),
  },
  {
    name: "a good one behind one that ends the connection is nobody's",
    rfc: "RFC 9112 §9.6",
    bytes: get("Connection: close\r\n") + HIDDEN,
    outcome: passedLast("GET /a"),
  },
  ...HALVES(),
  ...PRIVATE(),
];

/** Where a stream may end: nothing of the last message is one. */
function HALVES(): RequestRow[] {
  const halves: [string, string, RequestRow["serve"]?][] = [
    ["a method", "GE"],
    ["a request line", "GET /hidden HTTP/1.1"],
    ["a request line with its end", "GET /hidden HTTP/1.1\r\n"],
    ["a Host", "GET /hidden HTTP/1.1\r\nHost: HOST"],
    ["a head without its empty line", "GET /hidden HTTP/1.1\r\nHost: HOST\r\n"],
    ["a head with a CR for its empty line", "GET /hidden HTTP/1.1\r\nHost: HOST\r\n\r"],
    ["a head with a length and no body", post("Content-Length: 5\r\n", "", "/hidden")],
    ["a body of four bytes for five", post("Content-Length: 5\r\n", "hell", "/hidden")],
    ["a chunk's size", post("Transfer-Encoding: chunked\r\n", "5", "/hidden")],
    ["a chunk without its data", post("Transfer-Encoding: chunked\r\n", "5\r\nhel", "/hidden")],
    ["a chunk and no last one", post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", "/hidden")],
    [
      "a last chunk without its empty line",
      post("Transfer-Encoding: chunked\r\n", "0\r\n", "/hidden"),
      deviating("a body in chunks is whole without its last empty line", {
        statuses: [null],
        upstream: ["POST /hidden"],
        goesOn: false,
      }),
    ],
    ["trailers without their empty line", post("Transfer-Encoding: chunked\r\n", "0\r\nX-A: 1\r\n", "/hidden")],
    ["a head that waits for 100", post("Expect: 100-continue\r\nContent-Length: 5\r\n", "", "/hidden")],
  ];
  return halves.map(([name, bytes, serve]): RequestRow => ({
    name: `the end behind ${name}`,
    rfc: "RFC 9112 §8",
    bytes,
    outcome: unfinished(),
    isHalf: true,
    ...(serve === undefined ? {} : { serve }),
  }));
}

/** What is a message, for a circuit whose permit it has in some spelling. No app ever sees one. */
function PRIVATE(): RequestRow[] {
  const cookies: [string, string][] = [
    ["behind another one", "Cookie: a=b; PERMIT"],
    ["before another one", "Cookie: PERMIT; a=b"],
    ["in two lines", "Cookie: a=b\r\nCookie: PERMIT"],
    ["twice", "Cookie: a=b; PERMIT; PERMIT"],
    ["beside others of its kind", "Cookie: a=b; appproxy_permit_x=1; __Host-appproxy_permit_y=2; PERMIT"],
    ["while Connection names it", "Connection: cookie\r\nCookie: a=b; PERMIT"],
  ];
  const none: [string, string][] = [
    ["under a name with an underscore", "Cookie_: PERMIT"],
    ["under X-Cookie", "X-Cookie: PERMIT"],
    ["under Cookie2", "Cookie2: PERMIT"],
    ["in Authorization", "Authorization: PERMIT"],
    ["behind a comma", "Cookie: a=b, PERMIT"],
    ["in Set-Cookie", "Set-Cookie: PERMIT"],
  ];
  return [
    ...cookies.map(([name, lines]): RequestRow => ({
      name: `a permit ${name} lets in, and no app sees it`,
      rfc: "security 2, RFC 6265 §5.4",
      bytes: get(`${lines}\r\n`),
      outcome: passed("GET /a"),
      isPrivate: true,
      has: [["cookie", "a=b"]],
      lacks: ["appproxy_permit"],
    })),
    ...none.map(([name, lines]): RequestRow => ({
      name: `a permit ${name} is none`,
      rfc: "security 1, RFC 6265 §5.4",
      bytes: get(`${lines}\r\n`),
      outcome: answered(401),
      isPrivate: true,
    })),
  ];
}
