/** Which hosts and domains a worker may register with: those of which URLs can be made that everybody takes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { newKernel } from "../../support/manager.ts";
import { service, startStage, type Stage } from "../../support/model-service.ts";
import { portRegistration } from "../../support/rows.ts";

let stage: Stage;

beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage.stop());

const WILD = { frontend_mode: "wildcard", port_range: null };

const register = (over: Record<string, unknown>) =>
  stage.manager.api("PUT", "/api/worker", { ...portRegistration("refused"), ...over });

test.each(['a"b', "a{b}", "a`b", "a|b", "a b", "a..b", "a%41b", "a,b", "a/b", "שלום.2apps.example", "256.1.1.1"])(
  "the host %p is 400 with its field's name",
  async (hostname) => {
    const { status, body } = await register({ hostname });
    expect([status, body["msg"]]).toEqual([
      400,
      `hostname: wanted a host name or an IP address, got ${JSON.stringify(hostname)}`,
    ]);
  },
);

test.each(['.a"b', "._x.{y}", ".a b", "apps.example", "..example", ".a.7", ".", ".a/b"])(
  "the domain %p is 400 with its field's name",
  async (wildcard_domain) => {
    const { status, body } = await register({ ...WILD, wildcard_domain });
    expect([status, String(body["msg"]).split(" ")[0]]).toEqual([400, "wildcard_domain:"]);
  },
);

test.each<[string, Record<string, unknown>, string]>([
  ["a name", { hostname: "worker-1" }, "http://worker-1"],
  ["a name with an underscore", { hostname: "my_worker" }, "http://my_worker"],
  ["a name beyond ASCII", { hostname: "앱.example" }, "http://xn--rf5b.example"],
  ["a name with the root's dot", { hostname: "apps.example." }, "http://apps.example."],
  ["an IPv4 address", { hostname: "10.0.0.1" }, "http://10.0.0.1"],
  ["an IPv6 address", { hostname: "2001:db8::1" }, "http://[2001:db8::1]"],
  ["a domain beyond ASCII", { ...WILD, wildcard_domain: ".앱.example" }, "http://llama.xn--rf5b.example"],
  ["a domain with an underscore", { ...WILD, wildcard_domain: ".my_apps.example" }, "http://llama.my_apps.example"],
])("a worker with %s serves apps and model services", async (_what, over, origin) => {
  await stage.worker({ authority: "w", ...over });
  const { token, sessionId } = await stage.manager.conf(newKernel());
  expect((await stage.manager.auth(token, sessionId)).status).toBe(200);
  const { endpoint } = await stage.client.syncEndpoint({ endpoint_id: crypto.randomUUID(), body: service() });
  expect(endpoint).toStartWith(origin);
  await stage.clear();
});
