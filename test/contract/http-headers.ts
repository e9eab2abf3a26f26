/** H3–H5: what a proxy has to leave alone in a head, and what ends at it. */
import { expect } from "bun:test";
import { ask, begin, dial, requestHead } from "./client.ts";
import { answer, answering, app, echo, told } from "./upstreams.ts";
import { ENGINES } from "../../worker/compose/engines.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Stage } from "./stage.ts";

type Pairs = [name: string, value: string][];

export function httpHeaders(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H3", "passes redirects and their Location untouched, and follows none", async () => {
    const cases: [number, string][] = [
      [301, "/elsewhere?x=1"],
      [302, "relative/../path"],
      [303, "//other.example/"],
      [307, "https://other.example:8443/a%2Fb#part"],
      [308, "http://127.0.0.1:1/"],
    ];
    for (const [status, location] of cases) {
      const upstream = answering(answer(status, [["Location", location]], "moved"));
      const { head, body } = await ask(await stage().open({ upstream: upstream.port }), "/", {
        method: "POST",
        body: "x",
      });
      expect([head.status, head.get("location"), body.bytes.toString(), upstream.asked.length]).toEqual([
        status,
        location,
        "moved",
        1,
      ]);
    }
  });

  line("H4", "passes every Set-Cookie as a line of its own, in order", async () => {
    const cookies = ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly", "a=3; Path=/deep", "c="];
    const upstream = answering(
      answer(
        200,
        cookies.map((one): [string, string] => ["Set-Cookie", one]),
      ),
    );
    const { head } = await ask(await stage().open({ upstream: upstream.port }), "/");
    expect(head.all("set-cookie")).toEqual(cookies);
  });

  line("H4", "keeps values and order of repeated headers, both ways", async () => {
    const upstream = app(({ head, wire }) =>
      wire.send(answer(200, [...REPEATED, ["X-Asked", head.all("x-r").join(", ")]])),
    );
    const to = await stage().open({ upstream: upstream.port });
    const { head } = await ask(to, "/", {
      headers: [
        ["X-R", "1"],
        ["X-Other", "x"],
        ["X-R", "2, 3"],
        ["x-r", "1"],
      ],
    });
    expect(head.get("x-asked")).toBe("1, 2, 3, 1");
    expect(head.all("x-r").join(", ")).toBe("1, 2, 1");
    expect(head.all("www-authenticate").join(", ")).toBe('Basic realm="a, b", Bearer');
    expect(head.all("vary").join(", ")).toBe("Origin, Accept");
  });

  line(
    "H4",
    "keeps lines, order and case of all headers, both ways",
    async () => {
      const upstream = app(({ head, wire }) =>
        wire.send(
          answer(200, [
            ...REPEATED,
            ["x-ASKED", JSON.stringify(head.pairs.filter(([name]) => /^x-[rab]$/i.test(name)))],
          ]),
        ),
      );
      const sent: Pairs = [
        ["x-B", "1"],
        ["X-a", "2"],
        ["X-R", "3"],
        ["X-R", "4"],
      ];
      const { head } = await ask(await stage().open({ upstream: upstream.port }), "/", { headers: sent });
      expect(JSON.parse(head.get("x-asked") ?? "")).toEqual(sent);
      expect(head.pairs.slice(0, REPEATED.length)).toEqual(REPEATED);
    },
    { deviation: "order and case of header lines; repeated headers are joined" },
  );

  line("H4", "keeps header values byte for byte", async () => {
    const odd = 'a  b\t"c" \u00e9\u00ff; =,';
    const upstream = app(({ head, wire }) => wire.send(answer(200, [["X-Odd", head.get("x-odd") ?? ""]])));
    const { head } = await ask(await stage().open({ upstream: upstream.port }), "/", { headers: [["X-Odd", odd]] });
    expect(head.get("x-odd")).toBe(odd);
    expect((await upstream.request()).head.get("x-odd")).toBe(odd);
  });

  line("H4", "passes of headers that reach further than the circuit what stays within it", async () => {
    const own = shape.frontend === "wildcard";
    const upstream = answering(answer(200, FAR, "ok"));
    const { head } = await ask(await stage().open({ upstream: upstream.port }), "/");
    expect(farOf((name) => head.get(name))).toEqual(farPassed(own));
  });

  line(
    "H4",
    "passes what an app has escaped in a report as it is: no character of it is the end of a line",
    async () => {
      const report = String.raw`{"group":"\u010d\u010aX-Forged: 1","max_age":1}`;
      const upstream = answering(answer(200, [["NEL", report]], "ok"));
      const { head, body } = await ask(await stage().open({ upstream: upstream.port }), "/");
      expect([head.status, head.get("nel"), head.get("x-forged"), body.bytes.toString()]).toEqual([
        200,
        shape.frontend === "wildcard" ? report : null,
        null,
        "ok",
      ]);
    },
  );

  line(
    "H4",
    "takes the space before a colon out of an answer",
    async () => {
      const upstream = answering("HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n");
      const { head } = await ask(await stage().open({ upstream: upstream.port }), "/");
      expect([head.status, head.get("x-a")]).toEqual([200, "1"]);
    },
    { deviation: "a space before a colon in an answer becomes 502" },
  );

  line("H4", "keeps the app's Date and Server", async () => {
    const own: Pairs = [
      ["Date", "Mon, 01 Jan 2024 00:00:00 GMT"],
      ["Server", "an-app/1.0"],
    ];
    const { head } = await ask(await stage().open({ upstream: answering(answer(200, own, "ok")).port }), "/");
    expect([head.all("date"), head.all("server")]).toEqual([["Mon, 01 Jan 2024 00:00:00 GMT"], ["an-app/1.0"]]);
  });

  line("H5", "ends hop-by-hop headers of requests", async () => {
    const to = await stage().open({ upstream: echo().port });
    const hop: Pairs = [
      ["Connection", "X-Named, keep-alive , x-other"],
      ["X-Named", "1"],
      ["X-OTHER", "1"],
      ["Keep-Alive", "timeout=5"],
      ["Proxy-Authorization", "Basic eDp5"],
      ["Proxy-Connection", "keep-alive"],
      ["Proxy-Anything", "1"],
      ["TE", "trailers"],
      ["Trailer", "X-Sum"],
      ["Upgrade", "h2c"],
      ["X-Kept", "1"],
    ];
    const names = told((await ask(to, "/", { headers: hop })).body).pairs.map(([name]) => name.toLowerCase());
    expect(
      hop.map(([name]) => name.toLowerCase()).filter((name) => names.includes(name) && name !== "connection"),
    ).toEqual([...(ENGINES[shape.engine].capabilities.trailers ? ["te"] : []), "x-kept"]);
  });

  line("H5", "ends hop-by-hop headers of answers", async () => {
    const hop: Pairs = [
      ["Connection", "X-Named, close"],
      ["X-Named", "1"],
      ["Keep-Alive", "timeout=5"],
      ["Proxy-Authenticate", "Basic"],
      ["Proxy-Status", "1"],
      ["Trailer", "X-Sum"],
      ["Upgrade", "h2c"],
      ["X-Kept", "1"],
    ];
    const { head } = await ask(await stage().open({ upstream: answering(answer(200, hop, "ok")).port }), "/");
    expect(hop.map(([name]) => name).filter((name) => head.get(name) !== null)).toEqual(["X-Kept"]);
  });

  line("H5", "frames by itself: neither side's end of connection is the other's", async () => {
    const upstream = echo();
    const to = await stage().open({ upstream: upstream.port });
    for (let at = 0; at < 3; at++) await ask(to, "/", { headers: [["Connection", "close"]] });
    expect(upstream.wires.length).toBe(1);
    const closing = await stage().open({
      upstream: app(({ wire }) => wire.send(answer(200, [["Connection", "close"]], "ok")).then(() => wire.close()))
        .port,
    });
    const client = await dial(closing.port);
    for (let at = 0; at < 3; at++) {
      await client.send(requestHead(closing, "/"));
      const head = await client.head();
      expect([head.status, (await client.body(head)).bytes.toString()]).toEqual([200, "ok"]);
    }
  });

  line(
    "H5",
    "takes a request with trailers, and the next one on its connection",
    async () => {
      const to = await stage().open({ upstream: echo().port });
      const client = await begin(to, "/1", {
        method: "POST",
        headers: [
          ["Transfer-Encoding", "chunked"],
          ["Trailer", "X-Sum"],
        ],
      });
      await client.send("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
      expect(told(await client.body(await client.head())).length).toBe(5);
      await client.send(requestHead(to, "/2"));
      expect(told(await client.body(await client.head())).line).toBe("GET /2 HTTP/1.1");
    },
    { deviation: "a request with trailers is answered with 400" },
  );

  line("H5", "frames answers that end with their connection", async () => {
    const upstream = app(({ wire }) => wire.send("HTTP/1.1 200 OK\r\n\r\nuntil the end").then(() => wire.close()));
    const { body } = await ask(await stage().open({ upstream: upstream.port }), "/");
    expect([body.bytes.toString(), body.complete]).toEqual(["until the end", true]);
  });

  line("H5", "takes no bytes behind an answer for another one", async () => {
    const upstream = app(({ wire }) =>
      wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"),
    );
    const to = await stage().open({ upstream: upstream.port });
    for (let at = 0; at < 5; at++) {
      const { head, body } = await ask(to, "/");
      expect([head.status, body.bytes.toString()]).toEqual([200, "ok"]);
    }
  });
}

// --- internal ---

const REPEATED: Pairs = [
  ["X-R", "1"],
  ["WWW-Authenticate", 'Basic realm="a, b"'],
  ["Vary", "Origin"],
  ["X-R", "2"],
  ["WWW-Authenticate", "Bearer"],
  ["Vary", "Accept"],
  ["x-r", "1"],
];

/** What a hostile or careless app may say to the browser about more than its own circuit. */
export const FAR: Pairs = [
  ["Clear-Site-Data", '"cookies", "storage"'],
  ["Strict-Transport-Security", "max-age=31536000; includeSubDomains"],
  ["Alt-Svc", 'h3="evil.example:443"; ma=86400'],
  ["NEL", '{"report_to":"x","max_age":1}'],
  ["Report-To", '{"group":"x","max_age":1,"include_subdomains":true,"endpoints":[]}'],
  ["Reporting-Endpoints", 'x="https://app.example/"'],
];

export function farOf(get: (name: string) => string | null): (string | null)[] {
  return FAR.map(([name]) => get(name.toLowerCase()));
}

/** In the order of `FAR`. */
export function farPassed(isWildcard: boolean): (string | null)[] {
  const own = isWildcard ? ["max-age=31536000", null, '{"report_to":"x","max_age":1}', null] : [null, null, null, null];
  return ['"storage"', ...own, 'x="https://app.example/"'];
}
