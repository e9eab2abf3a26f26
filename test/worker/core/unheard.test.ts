/** A person whom another process of the worker has let in comes to one that has not heard of the circuit yet. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { PermitAuthority } from "../../../worker/access/permit.ts";
import { startStage, type Stage } from "../../contract/stage.ts";
import { PERMIT_SECRET } from "../../support/manager.ts";
import { circuit, USER } from "../../support/values.ts";

let stage: Stage;

beforeAll(async () => {
  stage = await startStage({ engine: "serve", frontend: "wildcard", place: "in process" });
});
afterAll(() => stage.stop());

const permits = new PermitAuthority({ secret: PERMIT_SECRET, previous_secrets: [], digest_mod: "sha256" });
const seconds = () => Math.floor(Date.now() / 1000);

/** Asks for a name of which only the coordinator knows. */
async function ask(path: (id: string) => string): Promise<number> {
  const { port, host } = await stage.open({});
  const id = crypto.randomUUID();
  const name = `app-${id}`;
  stage.coordinator.putSilently(
    circuit({ id, frontend_mode: "wildcard", port: null, subdomain: name, session_ids: [crypto.randomUUID()] }),
  );
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
