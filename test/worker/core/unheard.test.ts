/** A person whom another process of the worker has let in comes to one that has not heard of the circuit yet. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { liveKeys } from "../../../shared/live/live.ts";
import { LIVE_DB } from "../../../shared/live/redis.ts";
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import { PermitAuthority } from "../../../worker/access/permit.ts";
import { startStage, type Stage } from "../../contract/stage.ts";
import { JWT_SECRET, PERMIT_SECRET } from "../../support/manager.ts";
import { circuit, USER } from "../../support/values.ts";

let stage: Stage;

beforeAll(async () => {
  stage = await startStage({ engine: "serve", frontend: "wildcard", place: "in process" }, { redis: true });
});
afterAll(() => stage.stop());

const permits = new PermitAuthority({ secret: PERMIT_SECRET, previous_secrets: [], digest_mod: "sha256" });
const seconds = () => Math.floor(Date.now() / 1000);

/** A circuit of which only the coordinator knows. */
function unheard(id: string): string {
  const name = `app-${id}`;
  stage.coordinator.putSilently(
    circuit({ id, frontend_mode: "wildcard", port: null, subdomain: name, session_ids: [crypto.randomUUID()] }),
  );
  return name;
}

/** Asks for its name. */
async function ask(path: (id: string) => string): Promise<number> {
  const { port, host } = await stage.open({});
  const id = crypto.randomUUID();
  const name = unheard(id);
  const answer = await fetch(`http://127.0.0.1:${port}${path(id)}`, {
    redirect: "manual",
    headers: { Host: host.replace(/^[^.]*/, name) },
  });
  return answer.status;
}

function ticket(id: string, lifetime: number): string {
  const jti = crypto.randomUUID();
  return permits.ticket({ jti, cid: id, uid: USER, path: "/" }, seconds(), lifetime);
}

test("a ticket of this worker has the circuits fetched, and lets in", async () => {
  expect(await ask((id) => `/_appproxy/enter?t=${ticket(id, 60)}`)).toBe(303);
});

test.each<[string, (id: string) => string]>([
  ["without a ticket", () => "/"],
  ["with a ticket that is over", (id) => `/_appproxy/enter?t=${ticket(id, -1)}`],
  ["with somebody else's", () => "/_appproxy/enter?t=t1.abc"],
])("anybody else, %s, is told that there is none", async (_, path) => {
  expect(await ask(path)).toBe(404);
});

/** A link's first use was noted by a node that knew the circuit. */
test.each([["the same client", "127.0.0.1", 302], ["another one", "203.0.113.9", 401]] as const)("a link that was used there already: %s comes", async (_, noted, status) => {
  const client = new Redis(stage.redis?.port ?? 0, "127.0.0.1", { db: LIVE_DB });
  const [id, jti] = [crypto.randomUUID(), crypto.randomUUID()];
  await client.set(liveKeys.used(jti), `${Date.now()} ${noted}`);
  client.disconnect();
  unheard(id);
  const token = await mintSetupToken({ id: crypto.randomUUID(), circuit: id, redirect: "" }, JWT_SECRET, jti, Date.now());
  // A stranger makes nobody fetch.
  stage.coordinator.away = noted !== "127.0.0.1";
  const answer = await fetch(`http://127.0.0.1:${stage.apiPort()}/setup?token=${token}`, { redirect: "manual" });
  stage.coordinator.away = false;
  expect(answer.status).toBe(status);
}); // prettier-ignore
