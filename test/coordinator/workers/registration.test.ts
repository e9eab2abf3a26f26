/** Which hosts and domains a worker may register with: those of which URLs can be made that everybody takes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { advertised } from "../../../coordinator/http/server.ts";
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

test.each(["앱.example", "bücher.example"])("of the host %s nothing but ASCII is told", async (hostname) => {
  const ascii = new URL(`http://${hostname}`).host;
  await stage.worker({ authority: "w", hostname });
  const { token, sessionId } = await stage.manager.conf(newKernel());
  const query = new URLSearchParams({ app: "jupyter", protocol: "http", token, session_id: sessionId });
  const path = `/v2/proxy/auth?${query.toString()}`;
  const redirected = await stage.manager.call("GET", path, undefined, { Accept: "text/html" });
  expect([redirected.status, redirected.headers.get("location")?.split("?")[0]]).toEqual([
    302,
    `http://${ascii}:5050/setup`,
  ]);
  const { redirect_url: url } = (await stage.manager.auth(token, sessionId)).body;
  expect(String(url)).toStartWith(`http://${ascii}:5050/setup?`);
  const { body } = await stage.manager.api("GET", "/v1/api/worker");
  expect(JSON.stringify(body)).toContain(`"http://${ascii}:5050"`);
  expect((await stage.client.listCircuits({ query: { limit: 1000 } })).circuits).toHaveLength(1);
  await stage.clear();
});

test.each([
  ["앱.example", "http://xn--rf5b.example:10200"],
  ["10.0.0.1", "http://10.0.0.1:10200"],
  ["2001:db8::1", "http://[2001:db8::1]:10200"],
])("a coordinator that is advertised as %s tells %s", (host, url) => {
  const settings = { tls_advertised: false, advertised_addr: { host, port: 10_200 } };
  expect(advertised(settings as Parameters<typeof advertised>[0], { host: "", port: 0 })).toBe(url);
});
