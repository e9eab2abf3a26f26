/**
 * `allowed_client_ips` (T2, and dataplane's walk: address list before everything): IPv4, IPv6, mapped addresses, CIDR;
 * for HTTP, WebSocket and TCP. The worker listens on `::`, where IPv4 clients are seen with mapped addresses.
 */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { freePort, freeRange } from "../support/ports.ts";
import { circuit } from "../support/values.ts";
import { dial } from "./client.ts";
import { linesOf } from "./line.ts";
import { DOMAIN, type Shape } from "./shapes.ts";
import { localRoute, startStage, type Stage } from "./stage.ts";
import { greeter, isLetIn } from "./tcp-admission.ts";
import { answer, app, type Upstream } from "./upstreams.ts";

const PORTS = 32;

/** Who is let in by each list: 127.0.0.1, ::1. */
const LISTS: [list: string | null, v4: boolean, v6: boolean][] = [
  [null, true, true],
  ["", true, true],
  ["127.0.0.1", true, false],
  ["127.0.0.0/8", true, false],
  ["::ffff:127.0.0.1", true, false],
  ["::ffff:127.0.0.0/104", true, false],
  ["::1", false, true],
  ["::/64", false, true],
  ["0:0:0:0:0:0:0:1/128", false, true],
  ["10.0.0.0/8, 127.0.0.1", true, false],
  ["10.0.0.0/8,2001:db8::/32", false, false],
  ["0.0.0.0/0", true, false],
  ["::/0, 0.0.0.0/0", true, true],
  ["127.0.0.1, nonsense", false, false],
];

export function addressesSuite(shape: Shape): void {
  const line = linesOf(shape);

  describe("address lists", () => {
    const web = useDualStage(shape, {});

    for (const [what, upgrade] of [
      ["HTTP", false],
      ["WebSocket", true],
    ] as const)
      line("T2", `allowed_client_ips is enforced for ${what}: IPv4, IPv6, mapped addresses, CIDR`, async () => {
        const upstream = app(({ wire }) => wire.send(answer(418)));
        for (const [list, ...expected] of LISTS) {
          const to = await web().open(list, upstream);
          const seen = await Promise.all(["127.0.0.1", "::1"].map((from) => status(to, from, upgrade)));
          expect([list, ...seen]).toEqual([list, ...expected.map((isIn) => (isIn ? 418 : 403))]);
        }
        const allowed = LISTS.reduce((sum, [, v4, v6]) => sum + Number(v4) + Number(v6), 0);
        expect(upstream.asked.length).toBe(allowed);
      });

    if (shape.frontend !== "port") return;
    const tcp = useDualStage(shape, { protocol: "tcp" });

    line("T2", "allowed_client_ips is enforced for TCP: IPv4, IPv6, mapped addresses, CIDR", async () => {
      const upstream = greeter();
      for (const [list, ...expected] of LISTS) {
        const { port } = await tcp().open(list, upstream);
        const seen = [await isLetIn(port, "127.0.0.1"), await isLetIn(port, "::1")];
        expect([list, ...seen]).toEqual([list, ...expected]);
      }
      const allowed = LISTS.reduce((sum, [, v4, v6]) => sum + Number(v4) + Number(v6), 0);
      expect(upstream.wires.length).toBe(allowed);
    });
  });
}

// --- internal ---

interface Target {
  port: number;
  host: string;
}

/** A stage whose frontends listen on `::`, with public circuits: only the address decides. */
function useDualStage(shape: Shape, worker: Record<string, unknown>) {
  let dual: { stage: Stage; open(list: string | null, upstream: Upstream): Promise<Target> } | null = null;

  beforeAll(async () => {
    const [low, wildcardPort] = [await freeRange(PORTS), await freePort()];
    const stage = await startStage(shape, {
      worker: {
        ...worker,
        ...(shape.frontend === "port"
          ? { port_proxy: { bind_host: "::", bind_port_range: [low, low + PORTS - 1] } }
          : { wildcard_domain: { domain: DOMAIN, bind_addr: `[::]:${wildcardPort}` } }),
      },
    });
    let made = 0;
    dual = {
      stage,
      async open(list, upstream) {
        const at = made++;
        const isPort = shape.frontend === "port";
        const session_ids = [crypto.randomUUID()];
        const port = isPort ? low + at : wildcardPort;
        await stage.coordinator.put(
          circuit({
            id: crypto.randomUUID(),
            open_to_public: true,
            allowed_client_ips: list,
            protocol: worker["protocol"] === "tcp" ? "tcp" : "http",
            frontend_mode: shape.frontend,
            port: isPort ? port : null,
            subdomain: isPort ? null : `app-${at}`,
            session_ids,
            route_info: [localRoute(upstream.port, { session_ids })],
          }),
        );
        return { port, host: isPort ? `localhost:${port}` : `app-${at}${DOMAIN}` };
      },
    };
  });
  afterAll(() => dual?.stage.stop(), 60_000);

  return () => {
    if (dual === null) throw new Error("the stage has not started");
    return dual;
  };
}

const HANDSHAKE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n";

/** The status of an answer to a client with this address; an app that is no WebSocket server refuses the handshake. */
async function status({ port, host }: Target, from: string, upgrade: boolean): Promise<number> {
  const wire = await dial(port, from);
  await wire.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${upgrade ? HANDSHAKE : ""}\r\n`);
  const head = await wire.head();
  wire.close();
  return head.status;
}
