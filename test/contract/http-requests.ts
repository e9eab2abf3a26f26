/** H7, H8, H12: targets, requests with rules of their own, and requests that are refused. */
import { expect } from "bun:test";
import { ask, begin, dial, finalHead, requestHead } from "./client.ts";
import { answer, answering, app, echo, told } from "./upstreams.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Opened, Stage } from "./stage.ts";

/** Whole messages that RFC 9112 wants to be taken, and what the app is to get. `HOST` stands for the circuit's. */
const TAKEN = [
  ["an empty line before a request", "\r\nGET / HTTP/1.1\r\nHost: HOST\r\n\r\n", "GET / HTTP/1.1", "an empty line before a request is answered with 400"],
  ["a higher minor version", "GET / HTTP/1.2\r\nHost: HOST\r\n\r\n", "GET / HTTP/1.1", "HTTP/1.2 to HTTP/1.9 are answered with 505"],
  ["a space before a chunk's extension", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n2 ;a\r\nok\r\n0\r\n\r\n", "POST / HTTP/1.1", "a space before a chunk's extension is answered with 400"],
] as const; // prettier-ignore

export function httpRequests(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H7", "passes path and query as they came", async () => {
    const to = await stage().open({ upstream: echo().port });
    const seen: string[] = [];
    for (const target of TARGETS) seen.push(told((await ask(to, target)).body).line);
    expect(seen).toEqual(TARGETS.map((target) => `GET ${target} HTTP/1.1`));
  });

  for (const [target, deviation] of [
    ["/a/./b/../c", "`/./` and `/../` in a path are resolved, a backslash becomes `/`"],
    ["/%2e%2e/a", "`/./` and `/../` in a path are resolved, a backslash becomes `/`"],
    ["/a\\b", "`/./` and `/../` in a path are resolved, a backslash becomes `/`"],
    ["//a", "slashes at the start of a path become one; quotes, `<>` and bytes above 127 are encoded"],
    ['/a?q={"x":"<y>^"}', "slashes at the start of a path become one; quotes, `<>` and bytes above 127 are encoded"],
    ["/caf\u00e9", "slashes at the start of a path become one; quotes, `<>` and bytes above 127 are encoded"],
  ] as const)
    line(
      "H7",
      `passes ${target} as it came`,
      async () => {
        const to = await stage().open({ upstream: echo().port });
        expect(told((await ask(to, target)).body).line).toBe(`GET ${target} HTTP/1.1`);
      },
      { deviation },
    );

  for (const [what, bytes, first, deviation] of TAKEN)
    line(
      "H1",
      `takes ${what}`,
      async () => {
        const to = await stage().open({ upstream: echo().port, public: true });
        const client = await dial(to.port);
        await client.send(bytes.replace("HOST", to.host));
        const head = await finalHead(client);
        expect([head.status, told(await client.body(head)).line]).toEqual([200, first]);
      },
      { deviation },
    );

  line(
    "H7",
    "passes OPTIONS *",
    async () => {
      const to = await stage().open({ upstream: echo().port });
      expect(told((await ask(to, "*", { method: "OPTIONS" })).body).line).toBe("OPTIONS * HTTP/1.1");
    },
    { deviation: "`OPTIONS *` is answered with 400" },
  );

  line("H8", "keeps the headers of HEAD, 204 and 304, which have no body", async () => {
    const about = 'ETag: "e"\r\nX-Kept: 1\r\nContent-Type: text/plain\r\n';
    const upstream = app(({ head, wire }) =>
      wire.send(
        `HTTP/1.1 ${head.method === "HEAD" ? 200 : head.target.slice(1)} As Asked\r\n${about}${head.target === "/204" ? "" : "Content-Length: 12345\r\n"}\r\n`,
      ),
    );
    const to = await stage().open({ upstream: upstream.port });
    const seen: unknown[] = [];
    for (const [method, target] of [
      ["HEAD", "/200"],
      ["GET", "/204"],
      ["GET", "/304"],
      ["HEAD", "/304"],
    ] as const) {
      const client = await begin(to, target, { method, headers: [["Connection", "close"]] });
      const head = await finalHead(client);
      const after = (await client.rest()).length;
      seen.push([
        head.status,
        head.get("etag"),
        head.get("x-kept"),
        head.get("content-type"),
        head.get("content-length"),
        after,
      ]);
    }
    expect(seen).toEqual([
      [200, '"e"', "1", "text/plain", "12345", 0],
      [204, '"e"', "1", "text/plain", null, 0],
      [304, '"e"', "1", "text/plain", "12345", 0],
      [200, '"e"', "1", "text/plain", "12345", 0],
    ]);
  });

  line(
    "H8",
    "invents no Content-Length for HEAD",
    async () => {
      const upstream = answering("HTTP/1.1 200 OK\r\nX-Length: unknown\r\n\r\n");
      const { head } = await ask(await stage().open({ upstream: upstream.port }), "/", { method: "HEAD" });
      expect(head.get("content-length")).toBeNull();
    },
    { deviation: "an answer to HEAD without `Content-Length` gets `Content-Length: 0`" },
  );

  line("H8", "lets ranges and validators work", async () => {
    const upstream = app(({ head, wire }) => {
      if (head.get("if-none-match") === '"e"') return wire.send('HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n');
      const range = head.get("if-range") === '"e"' ? head.get("range") : null;
      return wire.send(
        answer(
          206,
          [
            ["Content-Range", "bytes 2-4/10"],
            ["ETag", '"e"'],
            ["X-Range", range ?? ""],
          ],
          "cde",
        ),
      );
    });
    const to = await stage().open({ upstream: upstream.port });
    const { head, body } = await ask(to, "/", {
      headers: [
        ["Range", "bytes=2-4"],
        ["If-Range", '"e"'],
      ],
    });
    expect([head.status, head.get("content-range"), head.get("x-range"), body.bytes.toString()]).toEqual([
      206,
      "bytes 2-4/10",
      "bytes=2-4",
      "cde",
    ]);
    const fresh = await ask(to, "/", { headers: [["If-None-Match", '"e"']] });
    expect([fresh.head.status, fresh.head.get("etag")]).toEqual([304, '"e"']);
  });

  line("H8", "lets Expect: 100-continue work", async () => {
    const to = await stage().open({ upstream: echo().port });
    const client = await begin(to, "/", {
      method: "PUT",
      headers: [
        ["Expect", "100-continue"],
        ["Content-Length", "5"],
      ],
    });
    expect((await client.head()).status).toBe(100);
    await client.send("hello");
    const head = await finalHead(client);
    expect([head.status, told(await client.body(head)).length]).toEqual([200, 5]);
  });

  for (const [what, wrong] of wrongHeads())
    line("H12", `refuses ${what}`, async () => {
      const upstream = echo();
      const to = await stage().open({ upstream: upstream.port });
      const client = await dial(to.port);
      await client.send(wrong(to));
      expect((await client.head()).status).toBe(400);
      expect(upstream.asked).toEqual([]);
    });

  line(
    "H12",
    "refuses an absolute-form target that differs from Host",
    async () => {
      const upstream = echo();
      const to = await stage().open({ upstream: upstream.port });
      const { head } = await ask(to, "http://other.example/");
      expect([head.status, upstream.asked.length]).toEqual([400, 0]);
    },
    { deviation: "the authority of an absolute-form target is not compared with `Host`" },
  );

  line("H12", "takes an absolute-form target that agrees with Host for its path", async () => {
    const to = await stage().open({ upstream: echo().port });
    expect(told((await ask(to, `http://${to.host}/a?b`)).body).line).toBe("GET /a?b HTTP/1.1");
  });

  line("H12", "answers CONNECT and TRACE with 405", async () => {
    const upstream = echo();
    const to = await stage().open({ upstream: upstream.port });
    for (const [method, target] of [
      ["TRACE", "/"],
      ["CONNECT", to.host],
      ["CONNECT", "other.example:443"],
    ] as const) {
      const { head } = await ask(to, target, { method });
      expect([method, head.status, head.get("allow")]).toEqual([method, 405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"]); // prettier-ignore
    }
    expect(upstream.asked).toEqual([]);
  });

  line("H12", "takes a header block of 60 KiB, and refuses one over 64 KiB with 431", async () => {
    const upstream = echo();
    const to = await stage().open({ upstream: upstream.port });
    expect((await ask(to, "/", { headers: [["X-Long", "x".repeat(60 * 1024)]] })).head.status).toBe(200);
    const client = await dial(to.port);
    await client.send(requestHead(to, "/", { headers: [["X-Long", "x".repeat(65 * 1024)]] })).catch(() => undefined);
    expect((await client.head()).status).toBe(431);
    expect(upstream.asked.length).toBe(1);
  });

  line(
    "H12",
    "takes 400 header lines",
    async () => {
      const to = await stage().open({ upstream: echo().port });
      const many = Array.from({ length: 400 }, (_, at): [string, string] => [`X-${at}`, "1"]);
      expect((await ask(to, "/", { headers: many })).head.status).toBe(200);
    },
    { deviation: "a request of 199 header lines or more is answered with 431" },
  );

  line(
    "H12",
    "passes an answer of 300 header lines",
    async () => {
      const many = Array.from({ length: 300 }, (_, at): [string, string] => [`X-${at}`, "1"]);
      const to = await stage().open({ upstream: answering(answer(200, many)).port });
      expect((await ask(to, "/")).head.get("x-299")).toBe("1");
    },
    { deviation: "an answer of 256 header lines or more becomes 502" },
  );

  line("H12", "passes an answer's head of 60 KiB", async () => {
    const long = "x".repeat(60 * 1024);
    const to = await stage().open({ upstream: answering(answer(200, [["X-Long", long]])).port });
    expect((await ask(to, "/")).head.get("x-long")).toBe(long);
  });
}

// --- internal ---

/** Targets that reach the app as they are. */
const TARGETS = [
  "/",
  "/a%2Fb%2fc",
  "/a%20b+c",
  "/a//b///c",
  "/a?",
  "/?",
  "/a?x=%2F&y=%20&z",
  "/a?b?c=/d//e",
  "/%E2%82%AC/%ff",
  "/a;b=c,d/@e:f",
  "/~a'(b)*!$&=",
  "/a%",
  "/%41%7e",
  "/...",
  "/a?../b",
];

function wrongHeads(): [string, (to: Opened) => string][] {
  const withHosts =
    (...hosts: string[]) =>
    (to: Opened) =>
      `GET / HTTP/1.1\r\n${hosts.map((host) => `Host: ${host.replace("HOST", to.host)}\r\n`).join("")}Cookie: ${to.cookie}\r\n\r\n`;
  const withBody = (lines: string) => (to: Opened) =>
    `POST / HTTP/1.1\r\nHost: ${to.host}\r\nCookie: ${to.cookie}\r\n${lines}\r\n\r\nhi`;
  return [
    ["a request without Host", withHosts()],
    ["two Host headers", withHosts("HOST", "other.example")],
    ["two equal Host headers", withHosts("HOST", "HOST")],
    ["a list in Host", withHosts("HOST, other.example")],
    ["userinfo in Host", withHosts("user@HOST")],
    ["userinfo and a password in Host", withHosts("user:secret@HOST")],
    ["a path in Host", withHosts("HOST/a")],
    ["a space in Host", withHosts("HOST other")],
    ["an empty Host", withHosts("")],
    ["two equal Content-Length lines", withBody("Content-Length: 2\r\nContent-Length: 2")],
    ["a list in Content-Length", withBody("Content-Length: 2, 2")],
    ["a name that is no token", withBody("Content-Length: 2\r\nX{A}: 1")],
  ];
}
