/** Targets of all forms, hosts and versions: whose request it is (RFC 9110 §7.1, §7.2, RFC 9112 §2.3, §3.2). */
import { also, answered, deviating, passed, passedLast, refused, refusedInTime, type RequestRow } from "../row.ts";

const bare = (head: string) => `${head}\r\n\r\n`;
const AUTHORITY = "the authority of an absolute-form target is not compared with `Host`";
const RESOLVED = "`/./` and `/../` in a path are resolved, a backslash becomes `/`";
const SLASHES = "slashes at the start of a path become one; quotes, `<>` and bytes above 127 are encoded";

/** `Bun.serve` joins the lines to a list, which is no host. */
const TWO = also("RFC 9112 §3.2: 400, and what follows is told", answered(400));
const MINOR = deviating("HTTP/1.2 to HTTP/1.9 are answered with 505", refused(505));
const STAR = "`OPTIONS *` is answered with 400";

/** Lines for `Host`, none of which names one host. */
const NO_HOSTS: [name: string, lines: string, serve?: RequestRow["serve"]][] = [
  ["none", "X-A: 1"],
  ["two of the same", "Host: HOST\r\nHost: HOST", TWO],
  ["two, the right one first", "Host: HOST\r\nHost: other.example", TWO],
  ["two, the right one last", "Host: other.example\r\nHost: HOST", TWO],
  ["two, one of them empty", "Host: HOST\r\nHost:", TWO],
  ["two, in other cases", "Host: HOST\r\nhOST: HOST", TWO],
  ["a space before its colon", "Host : HOST"],
  ["a folded line", "Host:\r\n HOST"],
  ["a NUL behind it", "Host: HOST\0"],
  ["a bare CR and another", "Host: HOST\rHost: other.example"],
];

/** Values of `Host` that are no host. The message is one, so the connection may go on. */
const ODD_HOSTS: [name: string, value: string][] = [
  ["nothing", ""],
  ["a list", "HOST, other.example"],
  ["a list without a space", "HOST,other.example"],
  ["userinfo", "me@HOST"],
  ["userinfo with a password", "me:secret@HOST"],
  ["a path", "HOST/a"],
  ["a backslash", "HOST\\a"],
  ["a query", "HOST?a"],
  ["a fragment", "HOST#a"],
  ["a space within", "HOST other.example"],
  ["a tab within", "HOST\tother.example"],
  ["a scheme", "http://HOST"],
  ["a port of letters", "127.0.0.1:http"],
  ["a port of six digits", "127.0.0.1:123456"],
  ["a port with a sign", "127.0.0.1:+80"],
  ["two ports", "127.0.0.1:80:80"],
  ["a colon alone", ":"],
  ["a port alone", ":80"],
  ["a bracket alone", "["],
  ["an address without its bracket's end", "[::1"],
  ["a zone", "[fe80::1%25eth0]"],
  ["percent-encoding", "127%2e0.0.1"],
  ["a byte above 127", "h\xf6st"],
  ["quotes", '"HOST"'],
];

/** The target and what the app gets for it. */
const TARGETS: [name: string, target: string, got: string, serve?: RequestRow["serve"]][] = [
  ["with two slashes at its start, which is no authority", "//other.example/a", "//other.example/a", deviating(SLASHES, passed("GET /other.example/a"))],
  ["with three slashes at its start", "///a", "///a", deviating(SLASHES, passed("GET /a"))],
  ["with dots in it", "/a/../b", "/a/../b", deviating(RESOLVED, passed("GET /b"))],
  ["with encoded dots in it", "/a/%2e%2e/b", "/a/%2e%2e/b", deviating(RESOLVED, passed("GET /b"))],
  ["with a backslash in it", "/a\\b", "/a\\b", deviating(RESOLVED, passed("GET /a/b"))],
  ["with encoded slashes", "/a%2F..%2Fb", "/a%2F..%2Fb"],
  ["with a URL in its path", "/http://other.example/", "/http://other.example/"],
  ["with an at sign", "/@other.example/", "/@other.example/"],
  ["in absolute form", "http://HOST/a", "/a"],
  ["in absolute form without a path", "http://HOST", "/"],
  ["in absolute form with a query alone", "http://HOST?q", "/?q"],
  ["in absolute form, its scheme in capitals", "HTTP://HOST/a", "/a"],
]; // prettier-ignore

/** Of no form that a GET may have, or of one that another host is named in. */
const NO_TARGETS: [name: string, target: string, serve?: RequestRow["serve"]][] = [
  ["without its slash", "a"],
  ["of a query alone", "?a"],
  ["of a star", "*"],
  ["of an authority", "HOST"],
  ["of a backslash", "\\a"],
  ["in absolute form with another scheme", "ftp://HOST/a"],
  ["in absolute form without an authority", "http:///a", deviating(AUTHORITY, passed("GET /a"))],
  ["in absolute form with one slash", "http:/HOST/a"],
  ["in absolute form with another host", "http://other.example/a", deviating(AUTHORITY, passed("GET /a"))],
  ["in absolute form with another port", "http://127.0.0.1:1/a", deviating(AUTHORITY, passed("GET /a"))],
  ["in absolute form with userinfo", "http://me@HOST/a", deviating(AUTHORITY, passed("GET /a"))],
  ["in absolute form with a fragment", "http://HOST/a#b", TWO],
  ["in absolute form with the host behind a backslash", "http://other.example\\@HOST/a", deviating(AUTHORITY, passed("GET /a"))],
  ["that names a file", "file:///etc/passwd"],
]; // prettier-ignore

const VERSIONS: [version: string, outcome: RequestRow["outcome"], rfc: string, serve?: RequestRow["serve"]][] = [
  ["HTTP/1.2", passed("GET /a"), "RFC 9110 §2.5: as the highest minor version that is known", MINOR],
  ["HTTP/1.9", passed("GET /a"), "RFC 9110 §2.5", MINOR],
  ["HTTP/1.0", passedLast("GET /a"), "RFC 9112 §9.3"],
  ["HTTP/2.0", refused(505), "RFC 9110 §15.6.6"],
  ["HTTP/3.0", refused(505), "RFC 9110 §15.6.6"],
  ["HTTP/0.9", refused(505), "RFC 9110 §15.6.6"],
  ["HTTP/9.9", refused(505), "RFC 9110 §15.6.6"],
  ["HTTP/2", refused(), "RFC 9112 §2.3"],
  ["HTTP/1", refused(), "RFC 9112 §2.3"],
  ["HTTP/1.10", refused(), "RFC 9112 §2.3: one digit"],
  ["HTTP/01.1", refused(), "RFC 9112 §2.3"],
  ["HTTP/1.01", refused(), "RFC 9112 §2.3"],
  ["HTTP/11.1", refused(), "RFC 9112 §2.3"],
  ["HTTP/1,1", refused(), "RFC 9112 §2.3"],
  ["HTTP/1.", refused(), "RFC 9112 §2.3"],
  ["HTTP/.1", refused(), "RFC 9112 §2.3"],
  ["HTTP/1.-1", refused(), "RFC 9112 §2.3"],
  ["HTTP/1.1x", refused(), "RFC 9112 §2.3"],
  ["HTTP/+1.1", refused(), "RFC 9112 §2.3"],
  ["http/1.1", refused(), "RFC 9112 §2.3: case-sensitive"],
  ["Http/1.1", refused(), "RFC 9112 §2.3"],
  ["HTTPS/1.1", refused(), "RFC 9112 §2.3"],
  ["HTTP 1.1", refused(), "RFC 9112 §2.3"],
  ["ICY/1.1", refused(), "RFC 9112 §2.3"],
  ["RTSP/1.0", refused(), "RFC 9112 §2.3"],
];

export const TARGET_ROWS: RequestRow[] = [
  ...NO_HOSTS.map(([name, lines, serve]): RequestRow => ({
    name: `Host: ${name}`,
    rfc: "RFC 9112 §3.2",
    bytes: bare(`GET /a HTTP/1.1\r\n${lines}`),
    outcome: refused(),
    ...(serve === undefined ? {} : { serve }),
  })),
  ...ODD_HOSTS.map(([name, value]): RequestRow => ({
    name: `Host: ${name}`,
    rfc: "RFC 9110 §7.2, RFC 3986 §3.2.2",
    bytes: bare(`GET /a HTTP/1.1\r\nHost: ${value}`),
    outcome: answered(400),
  })),
  ...TARGETS.map(([name, target, got, serve]): RequestRow => ({
    name: `a target ${name}`,
    rfc: "RFC 9112 §3.2.1, §3.2.2",
    bytes: bare(`GET ${target} HTTP/1.1\r\nHost: HOST`),
    outcome: passed(`GET ${got}`),
    ...(serve === undefined ? {} : { serve }),
  })),
  ...NO_TARGETS.map(([name, target, serve]): RequestRow => ({
    name: `a target ${name}`,
    rfc: "RFC 9112 §3.2",
    bytes: bare(`GET ${target} HTTP/1.1\r\nHost: HOST`),
    outcome: refused(),
    ...(serve === undefined ? {} : { serve }),
  })),
  ...VERSIONS.map(([version, outcome, rfc, serve]): RequestRow => ({
    name: `the version ${version}`,
    rfc,
    bytes: bare(`GET /a ${version}\r\nHost: HOST`),
    outcome,
    ...(serve === undefined ? {} : { serve }),
  })),
  {
    name: "the preface of HTTP/2",
    rfc: "RFC 9113 §3.4, RFC 9110 §15.6.6",
    bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    outcome: refused(505),
  },
  {
    name: "the preface of HTTP/2 with a frame",
    rfc: "RFC 9113 §3.4",
    bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    outcome: refused(505),
  },
  {
    name: "a ClientHello in plain HTTP",
    rfc: "RFC 9112 §3",
    bytes: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n",
    outcome: refused(),
  },
  {
    name: "HTTP/0.9's simple request",
    rfc: "RFC 9112 §3: no version, no message",
    bytes: "GET /a\r\n",
    outcome: refusedInTime(),
  },
  {
    name: "OPTIONS of a star",
    rfc: "RFC 9112 §3.2.4",
    bytes: bare("OPTIONS * HTTP/1.1\r\nHost: HOST"),
    outcome: passed("OPTIONS *"),
    serve: deviating(STAR, refused()),
  },
  {
    name: "OPTIONS in absolute form without a path",
    rfc: "RFC 9112 §3.2.4",
    bytes: bare("OPTIONS http://HOST HTTP/1.1\r\nHost: HOST"),
    outcome: passed("OPTIONS *"),
    serve: deviating(STAR, passed("OPTIONS /")),
  },
  {
    name: "POST of a star",
    rfc: "RFC 9112 §3.2.4: OPTIONS alone",
    bytes: bare("POST * HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0"),
    outcome: refused(),
  },
  {
    name: "HTTP/1.0 that wants its connection kept",
    rfc: "RFC 9112 §9.3",
    bytes: bare("GET /a HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive"),
    outcome: passed("GET /a"),
    serve: also("RFC 9112 §9.3: it may be closed", passedLast("GET /a")),
  },
];
