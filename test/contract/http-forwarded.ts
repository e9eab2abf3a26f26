/** H6: who the client is, and that it can't choose. */
import { describe, expect } from "bun:test";
import { ask } from "./client.ts";
import { answer, answering, echo, told } from "./upstreams.ts";
import { linesOf, useStage } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Stage } from "./stage.ts";

type Pairs = [name: string, value: string][];

export function httpForwarded(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H6", "preserves Host", async () => {
    const to = await stage().open({ upstream: echo().port });
    const host =
      shape.frontend === "port"
        ? "Some.Name.example:81"
        : to.host.replace(/^(.*)\.apps/, (_, label: string) => `${label.toUpperCase()}.Apps`);
    const pairs = told((await ask(to, "/", { headers: [["Host", host]] })).body).pairs;
    expect(pairs.filter(([name]) => name.toLowerCase() === "host").map(([, value]) => value)).toEqual([host]);
  });

  line("H6", "removes what a client says of where it comes from, and says it anew", async () => {
    const to = await stage().open({ upstream: echo().port });
    const { body } = await ask(to, "/", { headers: FORGED });
    expect(forwarding(told(body).pairs)).toEqual({
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": to.host,
      "x-forwarded-port": String(to.port),
      forwarded: `for=127.0.0.1;proto=http;host=${to.host}`,
    });
  });

  line("H6", "never chooses the circuit by X-Forwarded-Host", async () => {
    const [one, other] = [answering(answer(200, [], "one")), answering(answer(200, [], "other"))];
    const to = await stage().open({ upstream: one.port });
    const { host } = await stage().open({ upstream: other.port });
    const { body } = await ask(to, "/", {
      headers: [
        ["X-Forwarded-Host", host],
        ["Forwarded", `host="${host}"`],
      ],
    });
    expect(body.bytes.toString()).toBe("one");
  });

  line("H6", "does not let a client talk itself past an address list", async () => {
    const to = await stage().open({ upstream: echo().port, allowedClientIps: "203.0.113.7" });
    expect((await ask(to, "/", { headers: FORGED })).head.status).toBe(403);
  });

  describe("HTTP heads behind trusted load balancers", () => {
    const stage = useStage(shape, { worker: { trusted_proxies: ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"] } });

    for (const [chain, client, kept] of [
      ["203.0.113.7", "203.0.113.7", "203.0.113.7, 127.0.0.1"],
      ["6.6.6.6, 203.0.113.7, 10.1.2.3", "203.0.113.7", "6.6.6.6, 203.0.113.7, 10.1.2.3, 127.0.0.1"],
      ["203.0.113.7, 10.1.2.3, 10.3.2.1", "203.0.113.7", "203.0.113.7, 10.1.2.3, 10.3.2.1, 127.0.0.1"],
      ["10.9.9.9, 10.1.2.3", "10.9.9.9", "10.9.9.9, 10.1.2.3, 127.0.0.1"],
      ["2001:db9::1, 2001:db8::5", "2001:db9::1", "2001:db9::1, 2001:db8::5, 127.0.0.1"],
      ["no address, 203.0.113.7", "203.0.113.7", "203.0.113.7, 127.0.0.1"],
    ] as const)
      line("H6", `keeps and extends the chain ${chain}; the client is ${client}`, async () => {
        const to = await stage().open({ upstream: echo().port, allowedClientIps: client });
        const headers: Pairs = [
          ["X-Forwarded-For", chain],
          ["X-Forwarded-Proto", "https"],
          ["X-Forwarded-Host", "apps.example"],
        ];
        const { head, body } = await ask(to, "/", { headers });
        expect(head.status).toBe(200);
        const seen = forwarding(told(body).pairs);
        expect([seen["x-forwarded-for"], seen["x-forwarded-proto"], seen["x-forwarded-host"]]).toEqual([
          kept,
          "https",
          "apps.example",
        ]);
        expect(seen["forwarded"]?.split(", ").length).toBe(kept.split(", ").length);
      });

    line("H6", "never chooses the circuit by a trusted X-Forwarded-Host either", async () => {
      const [one, other] = [answering(answer(200, [], "one")), answering(answer(200, [], "other"))];
      const to = await stage().open({ upstream: one.port });
      const { host } = await stage().open({ upstream: other.port });
      expect((await ask(to, "/", { headers: [["X-Forwarded-Host", host]] })).body.bytes.toString()).toBe("one");
    });

    line("H6", "believes the nearest address that is not trusted, not the one that is listed before it", async () => {
      const to = await stage().open({ upstream: echo().port, allowedClientIps: "203.0.113.7" });
      expect(
        (await ask(to, "/", { headers: [["X-Forwarded-For", "203.0.113.7, 6.6.6.6, 10.0.0.1"]] })).head.status,
      ).toBe(403);
    });
  });
}

// --- internal ---

const FORGED: Pairs = [
  ["X-Forwarded-For", "203.0.113.7"],
  ["X-Forwarded-Proto", "https"],
  ["X-Forwarded-Host", "evil.example"],
  ["X-Forwarded-Port", "1"],
  ["X-Forwarded-User", "admin"],
  ["Forwarded", "for=203.0.113.7"],
];

function forwarding(pairs: Pairs): Record<string, string> {
  return Object.fromEntries(
    pairs.map(([name, value]) => [name.toLowerCase(), value] as const).filter(([name]) => /forwarded/.test(name)),
  );
}
