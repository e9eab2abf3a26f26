/** Scripts of service workers that apps have fetched: whom the worker tells, and when one is refused. */
import { afterAll, beforeAll, describe, expect, jest, test } from "bun:test";
import { silentLog } from "../../../shared/runtime/log.ts";
import { createServiceWorkerNotes } from "../../../worker/circuits/service-workers.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { until } from "../../support/until.ts";
import { circuit, USER } from "../../support/values.ts";

/** Notes whose coordinator answers as it is told to; what was told. */
function notes(answers: (boolean | Error)[]) {
  const told: unknown[] = [];
  const made = createServiceWorkerNotes({
    async tell(slots) {
      told.push(slots);
      const answer = answers.shift() ?? true;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    log: silentLog(),
  });
  const fetched = (...given: Parameters<typeof made.fetched>) => made.fetched(...given);
  return { told, fetched, stop: () => made.stop() };
}
const SLOT = { port: 10205, subdomain: null, user_id: USER };

describe("a fetched script", () => {
  test.each([200, 206, 304])("is told once when the app has answered %d", async (status) => {
    const { told, fetched, stop } = notes([]);
    const one = circuit();
    fetched(one, status);
    fetched(one, status);
    await stop();
    expect(told).toEqual([[SLOT]]);
  });

  test.each([302, 401, 404, 500])("registers nothing when the app has answered %d", async (status) => {
    const { told, fetched, stop } = notes([]);
    fetched(circuit(), status);
    await stop();
    expect(told).toEqual([]);
  });

  test.each([
    ["does not know it", false],
    ["is away", new Error("away")],
  ])("is told again when the coordinator %s", async (_why, answer) => {
    const { told, fetched, stop } = notes([answer]);
    fetched(circuit(), 200);
    await until(() => told.length === 2);
    await stop();
    expect(told).toEqual([[SLOT], [SLOT]]);
  });

  test("is told at the latest when the worker stops", async () => {
    const { told, fetched, stop } = notes([false]);
    fetched(circuit(), 200);
    fetched(circuit({ port: null, subdomain: "lab", user_id: null }), 200);
    await stop();
    expect(told.at(-1)).toEqual([SLOT, { port: null, subdomain: "lab", user_id: null }]);
  });
});

describe("a coordinator that never knows the call, as the original's", () => {
  test("is asked ever less often, and what is kept for it is bounded", async () => {
    jest.useFakeTimers();
    try {
      const told: { subdomain: string | null }[][] = [];
      const made = createServiceWorkerNotes({
        tell: (slots) => Promise.resolve(told.push(slots) < 0),
        log: silentLog(),
      });
      made.fetched(circuit({ port: null, subdomain: "first" }), 200);
      for (let second = 0; second < 3600; second++) {
        jest.advanceTimersByTime(1000);
        for (let turn = 0; turn < 10; turn++) await Promise.resolve();
      }
      expect(told.length).toBeWithin(55, 75);
      for (let at = 0; at < 10_000; at++) made.fetched(circuit({ port: null, subdomain: `n${at}` }), 200);
      await made.stop();
      expect(told.at(-1)?.[0]?.subdomain).toBe("n0");
    } finally {
      jest.useRealTimers();
    }
  });
});

describe("between coordinator and worker", () => {
  let cluster: Cluster;
  let asked: string[] = [];
  let app: Bun.Server<undefined>;
  beforeAll(async () => {
    cluster = await startCluster({ ports: 2 });
    app = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const { pathname } = new URL(request.url);
        asked.push(pathname);
        return new Response("", { status: pathname === "/none.js" ? 404 : 200, headers: { "Content-Type": "text/javascript" } }); // prettier-ignore
      },
    });
  });
  afterAll(async () => {
    await cluster.stop();
    await app.stop(true);
  });
  const slots = async () =>
    (await cluster.manager.api("GET", "/api/slots?in_use=false")).body["slots"] as { port: number; service_worker_of?: string }[]; // prettier-ignore
  const [alice, bob] = [crypto.randomUUID(), crypto.randomUUID()];
  const enter = (user: string, wish = {}) => cluster.manager.enter({ kernel_port: app.port ?? 0, user_uuid: user }, wish); // prettier-ignore

  test("a slot is kept for the user whose app has registered one, and a script is not fetched where it is blocked", async () => {
    const [low, high] = cluster.ports;
    const mine = await enter(alice, { port: low });
    const fetchScript = async (path: string, { origin, cookie }: { origin: string; cookie: string }) =>
      (await fetch(origin + path, { headers: { "Service-Worker": "script", cookie } })).status;
    expect(await fetchScript("/none.js", mine)).toBe(404);
    expect(await fetchScript("/sw.js", mine)).toBe(200);
    await until(async () => (await slots()).some(({ service_worker_of: user }) => user !== undefined));
    expect(await slots()).toEqual([expect.objectContaining({ port: low, service_worker_of: alice }), expect.not.objectContaining({ service_worker_of: expect.anything() })]); // prettier-ignore
    await cluster.manager.api("DELETE", `/api/circuit/${mine.circuitId}`);
    const other = await enter(bob);
    expect(new URL(other.origin).port).toBe(String(high));
    // Without a permit nobody registers anything, and nothing is told.
    asked = [];
    expect(await fetchScript("/sw.js", { origin: other.origin, cookie: "" })).toBe(401);
    expect([asked, (await slots()).filter(({ service_worker_of: user }) => user !== undefined).length]).toEqual([[], 1]); // prettier-ignore
  });
});
