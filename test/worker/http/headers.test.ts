/** Header rules between client and app: what passes, what ends here, what is rebuilt, and cookies in both directions. */
import { describe, expect, test } from "bun:test";
import {
  endsHere,
  guardSetCookie,
  requestEdits,
  withoutOurCookies,
  type ForwardedBy,
} from "../../../worker/http/headers.ts";
import { edited } from "../../../worker/protocols/http1/edited.ts";
import { head, type HeadWish } from "../../support/values.ts";

const BY: ForwardedBy = { chain: ["203.0.113.7"], proto: "http", host: "apps.example:10205", isTrusted: false };
const REBUILT: [string, string][] = [
  ["X-Forwarded-For", "203.0.113.7"],
  ["X-Forwarded-Proto", "http"],
  ["X-Forwarded-Host", "apps.example:10205"],
  ["X-Forwarded-Port", "10205"],
  ["Forwarded", "for=203.0.113.7;proto=http;host=apps.example:10205"],
];

/** The header lines that reach the app. */
function requestHeaders(from: HeadWish, by: ForwardedBy, app: string, authorization: boolean): [string, string][] {
  return edited(
    from.headers ?? [],
    requestEdits(head(from), by, { app, authorization, trailers: false, tunnels: false }),
  );
}

/** What reaches the app of the client's headers. */
function passed(headers: [string, string][], over: HeadWish = {}, authorization = true): [string, string][] {
  const rebuilt = REBUILT.map(([name]) => name);
  const lines = requestHeaders({ ...over, headers }, BY, "jupyter", authorization);
  return lines.filter(([name]) => !rebuilt.includes(name));
}

/** What the worker adds. */
function added(by: Partial<ForwardedBy>, app = "jupyter", target = "/"): [string, string][] {
  return requestHeaders({ headers: [], target }, { ...BY, ...by }, app, true);
}

describe("towards the app", () => {
  test("headers keep names, values and order, also repeated ones", () => {
    const headers: [string, string][] = [
      ["Host", "apps.example:10205"],
      ["X-Two", "b"],
      ["x-two", "a"],
      ["Origin", "http://apps.example"],
      ["Accept-Encoding", "br"],
      ["Content-Type", "a/b"],
    ];
    expect(requestHeaders({ headers }, BY, "jupyter", true)).toEqual([...headers, ...REBUILT]);
  });

  test.each([
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Authentication-Info",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "UPGRADE",
  ])("%s ends here", (name) => {
    expect(
      passed([
        [name, "x"],
        ["X-Kept", "1"],
      ]),
    ).toEqual([["X-Kept", "1"]]);
    expect(endsHere(null)(name.toLowerCase())).toBe(true);
  });

  test.each([
    ["close", ["X-A", "X-B"]],
    ["Keep-Alive", ["X-A", "X-B"]],
    ["x-a", ["X-B"]],
    ["keep-alive, X-A ,x-b", []],
    ["Upgrade, X-B", ["X-A"]],
  ])("Connection: %s leaves %p", (connection, left) => {
    const headers = passed([
      ["Connection", connection],
      ["X-A", "1"],
      ["X-B", "2"],
    ]);
    expect(headers.map(([name]) => name)).toEqual(left);
    expect(["X-A", "X-B"].filter((name) => !endsHere(connection)(name.toLowerCase()))).toEqual(left);
  });

  test("a Connection of half a million blanks takes no time", () => {
    const blanks = `${"\u00a0".repeat(500_000)}x`;
    expect(endsHere(blanks)("x-a")).toBe(false);
    expect(passed([["Connection", blanks]])).toEqual([]);
  });

  test.each([
    ["trailers", ["trailers"]],
    ["gzip;q=0.5, Trailers", ["trailers"]],
    ["gzip", []],
  ])("TE: %s is asked of the app as %p where the engine passes trailers", (te, asked) => {
    const headers: [string, string][] = [["Connection", "TE"], ["TE", te]]; // prettier-ignore
    const wishes = { app: "jupyter", authorization: true, trailers: true, tunnels: false };
    const lines = edited(headers, requestEdits(head({ headers }), BY, wishes));
    expect(lines.filter(([name]) => name.toLowerCase() === "te").map(([, value]) => value)).toEqual(asked);
  });

  test("a handshake is the client's own where the engine tunnels, and made anew where it does not", () => {
    const headers: [string, string][] = [["Upgrade", "websocket"], ["Sec-WebSocket-Key", "k"], ["Sec-WebSocket-Extensions", "permessage-deflate"]]; // prettier-ignore
    const names = (tunnels: boolean) => {
      const wishes = { app: "jupyter", authorization: true, trailers: false, tunnels };
      return edited(headers, requestEdits(head({ headers, upgrade: true }), BY, wishes)).map(([name]) => name);
    };
    expect(names(true)).toEqual(expect.arrayContaining(["Sec-WebSocket-Key", "Sec-WebSocket-Extensions"]));
    expect(names(false).filter((name) => name.startsWith("Sec-"))).toEqual([]);
  });

  test("what the client says of its way is replaced", () => {
    const invented = ["X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"];
    expect(passed(invented.map((name) => [name, "evil"]))).toEqual([]);
  });

  test.each([
    "X-Real-IP",
    "x-scheme",
    "X-Forwarded-Scheme",
    "X-Forwarded-Ssl",
    // The scheme too: gunicorn's default list, werkzeug's old one, Microsoft's proxies.
    "X-Forwarded-Protocol",
    "X-Url-Scheme",
    "Front-End-Https",
    // Where a program is mounted (werkzeug, Spring), and whom a proxy has let in (oauth2-proxy).
    "X-Forwarded-Prefix",
    "X-Forwarded-User",
    "x-forwarded-access-token",
    "X-Forwarded-Server",
    "X-Forwarded",
    // httpoxy: CGI gives it to programs as HTTP_PROXY.
    "Proxy",
    // WSGI and CGI read `_` as `-` (werkzeug and gunicorn: HTTP_X_FORWARDED_FOR for both spellings).
    "X_Forwarded_For",
    "X-Forwarded_Proto",
    "x_forwarded-host",
    "X_Forwarded_Prefix",
    "X_Real_IP",
    "Transfer_Encoding",
    "Keep_Alive",
    "Proxy_Authorization",
    "Sec_Fetch_Site",
    "X_RStudio_Request",
    // PHP reads `.` so too (php_register_variable).
    "X.Forwarded.For",
    "X~Real~IP",
  ])("%s says where a request comes from, and is nobody's to say", (name) => {
    expect(
      passed([
        [name, "evil"],
        ["X_Own_Name", "1"],
      ]),
    ).toEqual([["X_Own_Name", "1"]]);
  });

  test("a proxy that is trusted may say more of the way than is said anew", () => {
    const said: [string, string][] = [
      ["X-Forwarded-Prefix", "/here"],
      ["X-Forwarded-User", "me"],
    ];
    const of = (isTrusted: boolean) => requestHeaders({ headers: said }, { ...BY, isTrusted }, "jupyter", true);
    expect([of(true), of(false)]).toEqual([[...said, ...REBUILT], REBUILT]);
  });

  test("the handshake of a WebSocket is made anew, its subprotocols pass", () => {
    const headers: [string, string][] = [
      ["Sec-WebSocket-Key", "k"],
      ["Sec-WebSocket-Version", "13"],
      ["Sec-WebSocket-Extensions", "permessage-deflate"],
      ["Sec-WebSocket-Protocol", "a, b"],
    ];
    expect(passed(headers, { upgrade: true })).toEqual([["Sec-WebSocket-Protocol", "a, b"]]);
    expect(passed(headers)).toEqual(headers);
  });

  test("Authorization passes only where it is the app's", () => {
    const headers: [string, string][] = [["authorization", "Bearer x"]];
    expect([passed(headers, {}, true), passed(headers, {}, false)]).toEqual([headers, []]);
  });

  test("Cookie passes without our permits, and not at all when nothing is left", () => {
    expect(
      passed([
        ["Cookie", "a=1; appproxy_permit_c1=x"],
        ["cookie", "__Host-appproxy_permit_c1=x"],
        ["COOKIE", "b=2"],
      ]),
    ).toEqual([["Cookie", "a=1; b=2"]]);
    expect(passed([["Cookie", "appproxy_permit_c1=x"]])).toEqual([]);
    expect(passed([["cookie", "a=1;b=2"]])).toEqual([["cookie", "a=1;b=2"]]);
  });
});

describe("the client's way is told", () => {
  test("with the whole chain, IPv6 addresses quoted in Forwarded", () => {
    expect(added({ chain: ["2001:db8::1", "10.0.0.1"], proto: "https", host: "a.example" })).toEqual([
      ["X-Forwarded-For", "2001:db8::1, 10.0.0.1"],
      ["X-Forwarded-Proto", "https"],
      ["X-Forwarded-Host", "a.example"],
      ["X-Forwarded-Port", "443"],
      ["Forwarded", 'for="[2001:db8::1]", for=10.0.0.1;proto=https;host=a.example'],
    ]);
  });

  test.each([
    ["http", "a.example", "80"],
    ["https", "a.example", "443"],
    ["https", "a.example:8443", "8443"],
    ["http", "[2001:db8::1]", "80"],
    ["http", "[2001:db8::1]:81", "81"],
  ])("%s://%s is port %s", (proto, host, port) => {
    expect(added({ proto, host })).toContainEqual(["X-Forwarded-Port", port]);
  });

  // code-server 4.139 (out/node/http.js, getHost) takes the first `host=` of Forwarded as it stands, without looking at
  // X-Forwarded-Host, and refuses WebSockets whose Origin has another one.
  test.each([
    ["a.example", "a.example"],
    ["a.example:10205", "a.example:10205"],
    ["127.0.0.1:81", "127.0.0.1:81"],
    ["[2001:db8::1]:81", '"[2001:db8::1]:81"'],
  ])("host %s is %s in Forwarded", (host, written) => {
    expect(added({ host })).toContainEqual(["Forwarded", `for=203.0.113.7;proto=http;host=${written}`]);
  });

  test("to RStudio in its own words too, without the query", () => {
    const more = [
      ["X-RStudio-Proto", "http"],
      ["X-RStudio-Request", "http://apps.example:10205/a%2Fb"],
    ] as [string, string][];
    expect(added({}, "rstudio", "/a%2Fb?x=1?y")).toEqual([...REBUILT, ...more]);
    expect(added({}, "jupyter", "/a%2Fb?x=1?y")).toEqual(REBUILT);
  });
});

describe("our cookies are cut out", () => {
  test.each([
    ["a=1; b=2", "a=1; b=2"],
    ["appproxy_permit=x", ""],
    ["__Host-appproxy_permit_c1c1c1c1=x", ""],
    ["appproxy_permit_a=x; appproxy_permit_b=y;__Host-appproxy_permit_c=z", ""],
    ["a=1; appproxy_permit_c1c1c1c1=x; b=2", "a=1; b=2"],
    ["appproxy_permit=x; b=2", "b=2"],
    ["b=2; appproxy_permit=x", "b=2"],
    ["appproxy_permitted=x; b=2", "b=2"],
    ["appproxy_permit; b=2", "b=2"],
    ["a=appproxy_permit_c1=x; my_appproxy_permit=1", "a=appproxy_permit_c1=x; my_appproxy_permit=1"],
    [' a="1 2";b=;  c=%3B==;appproxy_permit=x;d', 'a="1 2";b=;  c=%3B==;d'],
    ["", ""],
  ])("of %p %p is left", (cookies, left) => {
    expect(withoutOurCookies(cookies)).toBe(left);
  });
});

describe("an app's Set-Cookie", () => {
  test.each([
    "a=1",
    "a=1; Path=/x; Max-Age=5; Secure; HttpOnly; SameSite=None",
    "a=domain=example.com; Path=/domain=x",
    "my_appproxy_permit=1; Path=/",
    "a=appproxy_permit; Path=/",
  ])("passes as it is: %s", (line) => {
    expect(guardSetCookie(line)).toBe(line);
  });

  test.each([
    ["a=1; Domain=example.com", "a=1"],
    ["a=1; Path=/; domain = .example.com ; Secure", "a=1; Path=/; Secure"],
    ["a=1;DOMAIN=x;domain=y; Path=/", "a=1; Path=/"],
    ["a=1; Domain=", "a=1"],
  ])("is kept to its host: %s", (line, guarded) => {
    expect(guardSetCookie(line)).toBe(guarded);
  });

  test.each([
    "appproxy_permit=x; Path=/",
    "appproxy_permit_c1c1c1c1=x",
    "__Host-appproxy_permit_c1c1c1c1=x; Secure; Path=/",
    " appproxy_permit =x",
    "appproxy_permit",
    // A cookie without a name is sent back as its bare value.
    "=appproxy_permit_c1c1c1c1=x",
    " = appproxy_permit=x",
  ])("is dropped: %s", (line) => {
    expect(guardSetCookie(line)).toBeNull();
  });
});
