/** What comes of each row as a route of a circuit: a worker is asked over HTTP, WebSocket and TCP, and probes by itself. */
import { ask, dial } from "../../contract/client.ts";
import { localRoute, startStage, type Opened, type Stage } from "../../contract/stage.ts";
import { handshake } from "../../contract/websocket-peer.ts";
import { until } from "../../support/until.ts";
import { PROBE, startApp, type App } from "./app.ts";
import type { DnsServer } from "./dns.ts";
import { inTurns } from "./in-turns.ts";
import { ROWS, turning, type Engine, type TargetRow, type Way } from "./rows.ts";

export interface Dialled {
  /** Of the answer; of TCP 200 for any and 0 for none. */
  status: number;
  /** What the answer says. */
  why: string;
  /** The addresses at which the app was connected to. */
  at: string[];
}

/** A name that turns, and how often it was looked up for one connection. */
export interface Turned extends Dialled {
  lookups: number;
}

export interface Dials {
  /** In the rows' order; null where no circuit can have the host. */
  rows: Record<Way, (Dialled | null)[]>;
  /** The addresses at which probes have come, in the rows' order. */
  probed: string[][];
  turned: Record<Way, Record<"good" | "bad", Turned>>;
}

export async function dialAll(engine: Engine, dns: DnsServer): Promise<Dials> {
  const shape = { engine, frontend: "port", place: "in process" } as const;
  const ports = 2 * ROWS.length + 8;
  const http = await startStage(shape, { ports });
  const tcp = await startStage(shape, { ports, worker: { protocol: "tcp", tcp_auth: "none" } });
  const stages: Record<Way, Stage> = { http, websocket: http, tcp };
  const dials: Dials = {
    rows: { http: await allOver(http, "http"), websocket: await allOver(http, "websocket"), tcp: await allOver(tcp, "tcp") }, // prettier-ignore
    probed: await probeAll(http),
    turned: {
      http: await turnedOver(engine, "http", stages, dns),
      websocket: await turnedOver(engine, "websocket", stages, dns),
      tcp: await turnedOver(engine, "tcp", stages, dns),
    },
  };
  await Promise.all([http.stop(), tcp.stop()]);
  return dials;
}

// --- internal ---

function allOver(stage: Stage, way: Way): Promise<(Dialled | null)[]> {
  return inTurns(ROWS, async (row) => (row.dial === null ? null : dialled(stage, way, row)));
}

async function dialled(stage: Stage, way: Way, row: Pick<TargetRow, "host" | "port">): Promise<Dialled> {
  const app = await startApp();
  const to = await stage.open({ routes: [], public: true, protocol: way === "tcp" ? "tcp" : "http" });
  await stage.updateRoutes(to, [routeTo(stage, to, row, app)]);
  const said = way === "tcp" ? await knock(to) : await request(to, way);
  await stage.close(to);
  return { ...said, at: app.take() };
}

function routeTo(stage: Stage, to: Opened, { host, port }: Pick<TargetRow, "host" | "port">, app: App) {
  const coordinator = Number(new URL(stage.coordinator.url).port);
  const own = { coordinator, worker: stage.apiPort(), circuit: to.port, redis: 6379 };
  return { ...localRoute(port === undefined ? app.port : own[port], to.circuit), kernel_host: host };
}

async function request(to: Opened, way: Way): Promise<Omit<Dialled, "at">> {
  const more = way === "websocket" ? handshake() : [];
  const { head, body } = await ask(to, "/", { headers: [["Accept", "application/json"], ...more] });
  const text = body.bytes.toString();
  return { status: head.status, why: text.startsWith("{") ? String((JSON.parse(text) as { msg?: unknown }).msg) : text };
} // prettier-ignore

/** An app of any protocol: it answers what it does not understand. */
async function knock({ port }: Opened): Promise<Omit<Dialled, "at">> {
  const wire = await dial(port).catch(() => null);
  if (wire === null) return { status: 0, why: "reset" };
  await wire.send("GET / HTTP/1.0\r\n\r\n").catch(() => undefined);
  await wire.wait(() => wire.received > 0 || wire.ended !== null, "an answer or the end");
  const isAnswered = wire.received > 0;
  wire.close();
  return { status: isAnswered ? 200 : 0, why: "" };
}

/** One model service whose kernels are all rows: when a good one was probed three times, each had its turn. */
async function probeAll(stage: Stage): Promise<string[][]> {
  const health_check = { interval: 1, path: PROBE, max_retries: 0, max_wait_time: 5, expected_status_code: 200, initial_delay: 0 }; // prettier-ignore
  const to = await stage.open({ routes: [], appMode: "inference", circuit: { health_check } });
  const apps = await Promise.all(ROWS.map(startApp));
  const routes = ROWS.flatMap((row, at) => {
    const app = apps[at];
    return row.dial === null || app === undefined ? [] : [routeTo(stage, to, row, app)];
  });
  await stage.updateRoutes(to, routes);
  const good = apps[ROWS.findIndex(({ host }) => host === "good.test")];
  await until(() => (good?.probes ?? 0) >= 3, 60_000, "the good kernel to be probed three times");
  await stage.close(to);
  return apps.map((app) => [...new Set(app.take())]);
}

/** One connection to a name that has another address when it is looked up again. */
async function turnedOver(
  engine: Engine,
  way: Way,
  stages: Record<Way, Stage>,
  dns: DnsServer,
): Promise<Dials["turned"][Way]> {
  const one = async (to: "good" | "bad"): Promise<Turned> => {
    const host = turning(to, engine, way);
    const said = await dialled(stages[way], way, { host });
    return { ...said, lookups: dns.asked(host) };
  };
  return { good: await one("good"), bad: await one("bad") };
}
