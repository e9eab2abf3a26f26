/** Where the circuit of a new model service goes: worker, slot and the URL that follows from them. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { EndpointRequest } from "../../../shared/protocol/schema/endpoint.ts";
import { portRegistration } from "../../support/rows.ts";
import { OWNER, refusal, service, startStage, type Registration, type Stage } from "../../support/model-service.ts";

const ID = "0e000000-0000-4000-8000-00000000000a";
const PROJECT = "9a000000-0000-4000-8000-00000000000b";
const WILD = { authority: "wild", frontend_mode: "wildcard", wildcard_domain: ".apps.example", port_range: null };
/** What a worker says of itself beside that. */
const OURS = portRegistration("", { node_id: "n1", accepted_traffics: ["interactive", "inference"] });

let stage: Stage;

beforeAll(async () => {
  stage = await startStage();
});

afterEach(() => stage.clear());

afterAll(() => stage.stop());

let made = 0;

/** Under another name each time, so that all its ports are as new. */
const worker = ({ authority, ...rest }: Registration) => stage.worker({ authority: `${authority}${made++}`, ...rest });

/** The URL that a call gives: of a new endpoint, unless it is named. */
async function urlOf(body: EndpointRequest, id = crypto.randomUUID() as string): Promise<string> {
  return (await stage.client.syncEndpoint({ endpoint_id: id, body })).endpoint;
}

describe("its URL at a worker", () => {
  test.each([
    ["in port mode", {}, "http://worker.example:30000/"],
    ["that listens with TLS", { tls_listen: true }, "https://worker.example:30000/"],
    ["behind TLS", { tls_advertised: true }, "https://worker.example:30000/"],
    ["on the default port of http", { port_range: [80, 80] }, "http://worker.example/"],
    ["on the default port of https", { tls_advertised: true, port_range: [443, 443] }, "https://worker.example/"],
    ["with an IPv6 address", { hostname: "2001:db8::1" }, "http://[2001:db8::1]:30000/"],
    ["with a wildcard domain", WILD, "http://llama.apps.example/"],
    ["with a wildcard domain and a port", { ...WILD, wildcard_traffic_port: 10_250 }, "http://llama.apps.example:10250/"],
    ["with a wildcard domain on port 80", { ...WILD, wildcard_traffic_port: 80 }, "http://llama.apps.example/"],
    ["with a wildcard domain and TLS", { ...WILD, tls_listen: true }, "https://llama.apps.example/"],
    ["with a wildcard domain, TLS and its default port", { ...WILD, tls_advertised: true, wildcard_traffic_port: 443 }, "https://llama.apps.example/"],
    ["with a wildcard domain, TLS and another port", { ...WILD, tls_advertised: true, wildcard_traffic_port: 8443 }, "https://llama.apps.example:8443/"],
    ["with a host name beyond ASCII", { hostname: "앱.example" }, "http://xn--rf5b.example:30000/"],
    ["with a wildcard domain beyond ASCII", { ...WILD, wildcard_domain: ".앱.example" }, "http://llama.xn--rf5b.example/"],
  ])("%s", async (_what, registration, url) => {
    await worker({ authority: "w", ...registration });
    expect(await urlOf(service())).toBe(url);
  }); // prettier-ignore
});

describe("a wanted slot", () => {
  test("is given: a port of the range, also where a wildcard worker would come first", async () => {
    await worker({ authority: "w" });
    await worker(WILD);
    expect(await urlOf(service({ port: 30_007 }))).toBe("http://worker.example:30007/");
  });

  test.each([
    ["that is taken", 30_007, "port: 30007 is already occupied by another circuit"],
    ["of no worker", 4000, "port: 4000 is in no worker's range; wanted one of 30000-30009"],
  ])("a port %s is 409, and nothing is recorded", async (_what, port, message) => {
    const mine = await worker({ authority: "w" });
    await urlOf(service({ port: 30_007 }));
    expect(await refusal(urlOf(service({ port }), ID))).toEqual([409, "appproxy/port-not-available", message]);
    expect([await stage.circuitOf(ID), (await stage.client.getWorker({ worker_id: mine.id })).revision]).toEqual([
      undefined,
      1,
    ]);
  });

  test.each([
    ["the service's name", service({ service_name: "My Model v1.5" }), "my-model-v1-5"],
    ["a wanted name before that", service({ subdomain: "chat" }), "chat"],
    ["punycode for a name beyond ASCII", service({ service_name: "라마" }), "xn--oi2bp7b"],
  ])("at a wildcard worker is %s", async (_what, body, label) => {
    await worker(WILD);
    expect(await urlOf(body)).toBe(`http://${label}.apps.example/`);
  });

  test("at a wildcard worker is the service's name also when the wanted name is empty", async () => {
    await worker(WILD);
    expect(await urlOf(service({ subdomain: "" }))).toBe("http://llama.apps.example/");
  });

  test("whose name is taken is a variant of it, with a name that nobody can spell a generated one", async () => {
    await worker(WILD);
    await urlOf(service());
    expect(await urlOf(service())).toMatch(/^http:\/\/llama-[0-9a-f]{8}\.apps\.example\/$/);
    expect(await urlOf(service({ service_name: "!!!" }))).toMatch(/^http:\/\/app-[0-9a-f]{8}\.apps\.example\/$/);
  });
});

/** A name from right to left makes the whole host name one in which no label may begin with a digit (RFC 5893 §2). */
describe("a name that can't stand under the worker's domain", () => {
  const generated = (domain: string) => new RegExp(`^http://app-[0-9a-f]{8}${domain.replaceAll(".", "\\.")}/$`);

  test.each([
    ["from right to left under one that begins with a digit", "שלום", ".2apps.example", ".2apps.example"],
    ["in Arabic under one with a number", "العربية", ".a.7.example", ".a.7.example"],
    ["that begins with a digit under one from right to left", "7b-chat", ".שלום.example", ".xn--9dbne9b.example"],
  ])("%s gets a generated one, and keeps it", async (_what, service_name, wildcard_domain, domain) => {
    await worker({ ...WILD, wildcard_domain });
    const url = await urlOf(service({ service_name }), ID);
    expect(url).toMatch(generated(domain));
    expect(await urlOf(service({ service_name }), ID)).toBe(url);
    expect(await urlOf(service({ subdomain: service_name }))).toMatch(generated(domain));
  });

  test("fails none of a call", async () => {
    await worker({ ...WILD, wildcard_domain: ".2apps.example" });
    const entries = ["llama", "שלום"].map((service_name) => ({
      deployment_id: crypto.randomUUID(),
      ...service({ service_name }),
    }));
    const { endpoints } = await stage.client.syncEndpoints({ body: { endpoints: entries } });
    expect(endpoints.map(({ success, url }) => [success, url])).toEqual([
      [true, "http://llama.2apps.example/"],
      [true, expect.stringMatching(generated(".2apps.example"))],
    ]);
  });

  test("since that has another is left for one that can", async () => {
    const authority = `wild${made++}`;
    await stage.worker({ ...WILD, authority });
    const body = service({ service_name: "שלום" });
    expect(await urlOf(body, ID)).toBe("http://xn--9dbne9b.apps.example/");
    const renewed = { ...OURS, ...WILD, authority, wildcard_domain: ".2apps.example" };
    expect((await stage.manager.api("PUT", "/api/worker", renewed)).status).toBe(200);
    expect(await urlOf(body, ID)).toMatch(generated(".2apps.example"));
  });
});

describe("placement", () => {
  test.each([
    ["endpoint.id", ID],
    ["endpoint.runtime_variant", "vllm"],
    ["endpoint.existing_url", "http://old.example/"],
    ["session.user_uuid", OWNER],
    ["session.project_id", PROJECT],
    ["session.domain_name", "lab"],
  ])("the app filter %s draws what it matches to its worker, and only that", async (key, value) => {
    await worker({ authority: "a", hostname: "a.example" });
    await worker({ authority: "z", hostname: "z.example", filtered_apps_only: true, app_filters: [{ key, value }] }); // prettier-ignore
    const endpoint = { runtime_variant: "vllm", existing_url: "http://old.example/" };
    const matching = service({}, endpoint, { group_id: PROJECT, domain_name: "lab" });
    expect(await urlOf(matching, ID)).toBe("http://z.example:30000/");
    const other = service({}, {}, { user_uuid: crypto.randomUUID(), project_id: crypto.randomUUID() });
    expect(await urlOf(other)).toBe("http://a.example:30000/");
  });

  test("knows a project by either of its names", async () => {
    await worker({ authority: "a", hostname: "a.example" });
    const filter = { key: "session.project_id", value: PROJECT };
    await worker({ authority: "z", hostname: "z.example", app_filters: [filter] });
    expect(await urlOf(service({}, {}, { project_id: PROJECT }))).toBe("http://z.example:30000/");
    expect(await urlOf(service({}, {}, { group_id: PROJECT }))).toBe("http://z.example:30001/");
  });

  test("knows a project by its id in either case", async () => {
    await worker({ authority: "a", hostname: "a.example" });
    const filter = { key: "session.project_id", value: PROJECT };
    await worker({ authority: "z", hostname: "z.example", app_filters: [filter] });
    expect(await urlOf(service({}, {}, { project_id: PROJECT.toUpperCase() }))).toBe("http://z.example:30000/");
  });

  test("takes the wildcard worker first, and of port workers the one with most free slots", async () => {
    await worker({ authority: "few", hostname: "few.example", port_range: [30_000, 30_001] });
    await worker({ authority: "many", hostname: "many.example" });
    expect(await urlOf(service())).toBe("http://many.example:30000/");
    await worker(WILD);
    expect(await urlOf(service())).toBe("http://llama.apps.example/");
  });

  test.each([
    ["no worker is there", [], "No worker is alive"],
    ["nobody accepts inference", [{ authority: "w", accepted_traffics: ["interactive"] }], "No living worker carries inference circuits of protocol http"],
    ["nobody speaks HTTP", [{ authority: "w", protocol: "tcp" }], "No living worker carries inference circuits of protocol http"],
    ["all take only filtered apps", [{ authority: "w", filtered_apps_only: true }], "The living workers take only filtered apps, and no filter matches this one"],
  ])("is 503 when %s, and nothing is recorded", async (_what, workers, message) => {
    for (const one of workers) await worker(one);
    expect(await refusal(urlOf(service(), ID))).toEqual([503, "appproxy/worker-not-available", message]);
    expect(await stage.circuitOf(ID)).toBeUndefined();
  }); // prettier-ignore
});
