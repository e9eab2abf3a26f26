/** A slot that another circuit gets while a request runs: what goes wrong with the request is told of its own circuit. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { begin, finalHead } from "../../contract/client.ts";
import { startStage, type Opened, type Stage } from "../../contract/stage.ts";
import { app, stopUpstreams } from "../../contract/upstreams.ts";
import { handshake } from "../../contract/websocket-peer.ts";
import { closeWires } from "../../contract/wire.ts";
import { until } from "../../support/until.ts";

type Pairs = [name: string, value: string][];

const BROWSER: Pairs = [["Accept", "text/html,application/xhtml+xml,*/*;q=0.8"]];

let stage: Stage;

beforeAll(async () => {
  stage = await startStage({ engine: "serve", frontend: "wildcard", place: "in process" });
});

afterAll(async () => {
  closeWires();
  stopUpstreams();
  await stage.stop();
});

/** Another person's circuit at the same name; the one that was there ends with it. */
async function handOver(to: Opened): Promise<string> {
  const id = crypto.randomUUID();
  await stage.coordinator.put({ ...to.circuit, id, app: "second-app", user_id: crypto.randomUUID(), route_info: [] });
  return id;
}

test.each<[string, Pairs]>([
  ["a request", BROWSER],
  ["a WebSocket's handshake", [...handshake(), ...BROWSER]],
])(
  "%s that fails when its name has changed hands names its own app and logs its own circuit",
  async (_what, headers) => {
    const silent = app(({ wire }) => wire.end(60_000));
    const to = await stage.open({ upstream: silent.port, app: "first-app" });
    const client = await begin(to, "/", { headers });
    await silent.request();
    const second = await handOver(to);
    const head = await finalHead(client);
    const page = (await client.body(head)).bytes.toString();
    expect(head.status).toBe(503);
    expect(page).toContain("first-app");
    expect(page).not.toContain("second-app");
    const logged = await until(() => stage.lines.find((one) => one["error_id"] === head.get("x-error-id")));
    expect(logged).toMatchObject({ circuit: to.circuit.id, status: 503 });
    expect(stage.lines.filter((one) => one["circuit"] === second && one["msg"] === "request refused")).toEqual([]);
  },
);
