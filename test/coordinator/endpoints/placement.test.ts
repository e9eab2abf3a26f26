/** Where the circuit of a new model service goes: worker, slot and the URL that follows from them. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { EndpointRequest } from "../../../shared/protocol/schema/endpoint.ts";
import { OWNER, refusal, service, startStage, type Registration, type Stage } from "../../support/model-service.ts";

const ID = "0e000000-0000-4000-8000-00000000000a";
const PROJECT = "9a000000-0000-4000-8000-00000000000b";
const WILD = { authority: "wild", frontend_mode: "wildcard", wildcard_domain: ".apps.example", port_range: null };

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
