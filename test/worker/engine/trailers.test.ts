/** What an engine says that it can do counts: an app is asked for trailers only where they reach the client. */
import { afterAll, expect, test } from "bun:test";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import { memoryMessengers } from "../../../shared/redis/messengers.ts";
import { createShutdown } from "../../../shared/runtime/process.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { loadWorkerConfig } from "../../../worker/config.ts";
import { bunEngine } from "../../../worker/engine/bun/engine.ts";
import { startWorker } from "../../../worker/worker.ts";
import { startFakeCoordinator } from "../../support/fake-coordinator.ts";
import { API_SECRET } from "../../support/manager.ts";
import { freeRange } from "../../support/ports.ts";
import { rawServer } from "../../support/raw.ts";
import { workerToml } from "../../support/toml.ts";
import { circuit, route } from "../../support/values.ts";

const shutdown = createShutdown();
afterAll(() => shutdown.run());

test.each([true, false])("TE: trailers reaches the app: %p, as the engine can", async (trailers) => {
  const app = await rawServer((server) => server.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "end"));
  const messengers = memoryMessengers(silentLog());
  const theirs = messengers(createCodec(API_SECRET, false));
  const { bus, live, close } = messengers(createCodec(API_SECRET, false));
  const coordinator = await startFakeCoordinator(theirs.bus);
  const port = await freeRange(1);
  const { values: config } = loadWorkerConfig("w", workerToml(coordinator.url, port, 1, {}), {});
  const engine = { ...bunEngine, capabilities: { ...bunEngine.capabilities, trailers } };
  const newId = () => crypto.randomUUID();
  const worker = startWorker({ config, engine, bus, live, log: silentLog(), now: Date.now, newId });
  for (const stop of [() => app.stop(), () => theirs.close(), () => coordinator.stop(), close, () => worker.stop()])
    shutdown.add(stop);
  await worker.ready;
  const routes = [route({ kernel_host: "127.0.0.1", kernel_port: app.port })];
  await coordinator.put(circuit({ port, open_to_public: true, user_id: null, route_info: routes }));
  await fetch(`http://127.0.0.1:${port}/`, { headers: { TE: "trailers" } });
  expect(/^te: trailers\r$/im.test(app.received())).toBe(trailers);
});
