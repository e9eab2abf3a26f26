/** The OpenAPI document of the coordinator as it is now, made without listening. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadCoordinatorConfig } from "../../coordinator/config.ts";
import { createApp, createServices } from "../../coordinator/coordinator.ts";
import { openDb } from "../../coordinator/store/open.ts";
import { createCodec } from "../../shared/protocol/envelope.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { memoryMessengers } from "../../shared/redis/messengers.ts";
import { newSecret } from "../../shared/runtime/secrets.ts";

export async function currentOpenApi(): Promise<unknown> {
  const toml = `[secrets]\napi_secret = "${newSecret()}"\njwt_secret = "${newSecret()}"\n`;
  const newId = () => crypto.randomUUID();
  const path = join(tmpdir(), `app-proxy-openapi-${newId()}.sqlite3`);
  const database = openDb(path, newId);
  try {
    const { bus, live } = memoryMessengers(silentLog())(createCodec("", false));
    const deps = {
      config: loadCoordinatorConfig("openapi", toml, {}).values,
      database,
      bus,
      live,
      log: silentLog(),
      now: Date.now,
      newId,
    };
    const app = createApp(deps, createServices(deps), {
      baseUrl: () => "http://127.0.0.1:10200",
      address: () => ({ host: "127.0.0.1", port: 10200 }),
    });
    return await (await app.handle(new Request("http://localhost/swagger/json"))).json();
  } finally {
    database.close();
    for (const suffix of ["", "-wal", "-shm"])
      await Bun.file(path + suffix)
        .delete()
        .catch(() => undefined);
  }
}
