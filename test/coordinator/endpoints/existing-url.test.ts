/** `tags.endpoint.existing_url`: a service that is made anew gets the URL again that it had, if that can be had. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { refusal, service, startStage, type Registration, type Stage } from "../../support/model-service.ts";

const WILD = { authority: "wild", frontend_mode: "wildcard", wildcard_domain: ".apps.example", port_range: null };
const OTHER_WILD = { ...WILD, authority: "a-wild", wildcard_domain: ".other.example" };

let stage: Stage;

beforeAll(async () => {
  stage = await startStage();
});

afterEach(() => stage.clear());

afterAll(() => stage.stop());

let made = 0;

/** Under another name each time, so that all its ports are as new. */
const worker = ({ authority, ...rest }: Registration) => stage.worker({ authority: `${authority}${made++}`, ...rest });

/** What a new endpoint gets that had `url`. */
async function again(url: string, over: Partial<ReturnType<typeof service>> = {}): Promise<string> {
  const body = service(over, { existing_url: url });
  return (await stage.client.syncEndpoint({ endpoint_id: crypto.randomUUID(), body })).endpoint;
}

describe("under a wildcard worker's domain", () => {
  test.each([
    ["with its name, whatever the service is called", "http://old-name.apps.example/", "old-name"],
    ["with a double hyphen", "http://my--model.apps.example/", "my--model"],
    ["in punycode", "http://xn--3e0b707e.apps.example/", "xn--3e0b707e"],
    ["in letters beyond ASCII", "http://한국.apps.example/", "xn--3e0b707e"],
    ["in capitals", "HTTP://LLAMA.Apps.Example/", "llama"],
    ["with the other scheme, a port and a path", "https://llama.apps.example:8443/v1/models?x=1", "llama"],
    ["with the port that a worker of its hostname would have", "http://llama.apps.example:30001/", "llama"],
  ])("it is given again: %s", async (_what, url, label) => {
    await worker(OTHER_WILD);
    await worker({ authority: "w", hostname: "llama.apps.example" });
    await worker(WILD);
    expect(await again(url)).toBe(`http://${label}.apps.example/`);
  });

  test("it goes to that worker, though others have fewer circuits, and though this one takes only filtered apps", async () => {
    await worker({ ...WILD, filtered_apps_only: true });
    await worker(OTHER_WILD);
    for (const name of ["one", "two", "three"])
      expect(await again(`http://${name}.apps.example/`)).toBe(`http://${name}.apps.example/`);
    expect(await again("")).toBe("http://llama.other.example/");
  });

  test("a name that another circuit has by now gets a variant under the same domain", async () => {
    await worker(OTHER_WILD);
    await worker(WILD);
    await again("http://llama.apps.example/");
    expect(await again("http://llama.apps.example/")).toMatch(/^http:\/\/llama-[0-9a-f]{8}\.apps\.example\/$/);
    await again("http://my--model.apps.example/");
    expect(await again("http://my--model.apps.example/")).toMatch(/^http:\/\/my--model-[0-9a-f]{8}\.apps\.example\/$/);
  });

  test.each([
    ["the domain itself", "http://apps.example/"],
    ["a name of two parts", "http://a.b.apps.example/"],
    ["a domain that only ends like it", "http://llama.myapps.example/"],
    ["another domain", "http://llama.elsewhere.example/"],
  ])("%s is any other URL", async (_what, url) => {
    await worker(WILD);
    expect(await again(url)).toBe("http://llama.apps.example/");
  });

  test.each([
    ["nothing at all", "http://.apps.example/"],
    ["a star", "http://*.apps.example/"],
    ["a quote", 'http://a"b.apps.example/'],
    ["more than 63 characters", `http://${"a".repeat(64)}.apps.example/`],
    ["a hyphen at its end", "http://a-.apps.example/"],
  ])("with a name that no circuit can have (%s) it is any other URL", async (_what, url) => {
    await worker(WILD);
    expect(await again(url)).toBe("http://llama.apps.example/");
  });
});

describe("at a port worker", () => {
  beforeEach(async () => {
    await worker({ authority: "a", hostname: "other.example", port_range: [30_000, 30_099] });
    await worker({ authority: "low", port_range: [31_000, 31_009] });
    await worker({ authority: "high", port_range: [31_010, 31_019] });
  });

  test.each([
    ["by hostname and range", "http://worker.example:31015/", "http://worker.example:31015/"],
    ["by the range among workers of one hostname", "http://worker.example:31005/", "http://worker.example:31005/"],
    ["in capitals, with a path", "https://WORKER.example:31005/v1", "http://worker.example:31005/"],
  ])("it is given again: %s", async (_what, url, wanted) => {
    expect(await again(url)).toBe(wanted);
  });

  test("it counts more than the wish for a port", async () => {
    expect(await again("http://worker.example:31005/", { port: 30_001 })).toBe("http://worker.example:31005/");
  });

  test.each([
    ["a port outside its ranges", "http://worker.example:30005/"],
    ["no port", "http://worker.example/"],
    ["another hostname", "http://elsewhere.example:31005/"],
    ["a name under its hostname", "http://llama.worker.example:31005/"],
  ])("%s is any other URL", async (_what, url) => {
    expect(await again(url)).toBe("http://other.example:30000/");
  });

  test("any other URL leaves the wish for a port", async () => {
    expect(await again("http://elsewhere.example:31005/", { port: 31_007 })).toBe("http://worker.example:31007/");
  });

  test("a port that another circuit has by now is given up for another one, not refused", async () => {
    await again("http://worker.example:31005/");
    expect(await again("http://worker.example:31005/")).toBe("http://other.example:30000/");
  });

  test.each([
    ["http", [80, 80], "http://web.example/"],
    ["https", [443, 443], "https://web.example/"],
  ])("a URL without a port means the default one of %s", async (scheme, port_range, url) => {
    await worker({ authority: "web", hostname: "web.example", port_range, tls_advertised: scheme === "https" });
    expect(await again(url)).toBe(url);
  });

  test("it is given again where the hostname is an IPv6 address", async () => {
    await worker({ authority: "six", hostname: "2001:db8::1", port_range: [32_000, 32_009] });
    expect(await again("http://[2001:db8::1]:32005/")).toBe("http://[2001:db8::1]:32005/");
  });
});

describe("at a worker that is of no use for it", () => {
  test.each([
    ["is gone", {}, true],
    ["takes no model services", { accepted_traffics: ["interactive"] }, false],
    ["carries TCP", { protocol: "tcp" }, false],
  ])("because it %s is any other URL", async (_what, registration, leaves) => {
    await worker({ authority: "a", hostname: "a.example" });
    for (const one of [
      { ...WILD, authority: "z-wild" },
      { authority: "z", port_range: [31_000, 31_009] },
    ]) {
      const { id } = await worker({ ...one, ...registration });
      if (leaves) await stage.client.deregisterWorker({ worker_id: id, query: { node_id: "n1" } });
    }
    expect(await again("http://llama.apps.example/")).toBe("http://a.example:30000/");
    expect(await again("http://worker.example:31005/")).toBe("http://a.example:30001/");
  });
});

describe("that is no URL", () => {
  test.each([
    ["a word", "llama"],
    ["a path", "/v1/models"],
    ["nothing after the scheme", "http://"],
    ["another scheme", "ftp://llama.apps.example/"],
    ["a script", "javascript:alert(1)"],
    ["a port that there is not", "http://worker.example:99999/"],
  ])("%s is 400 and names the field", async (_what, url) => {
    await worker({ authority: "w" });
    const message = `tags.endpoint.existing_url: wanted an http or https URL, got ${JSON.stringify(url)}`;
    expect(await refusal(again(url))).toEqual([400, "invalid-api-params", message]);
    expect((await stage.client.listCircuits({ query: {} })).circuits).toEqual([]);
  });

  test("but empty means that there was none", async () => {
    await worker({ authority: "w" });
    expect(await again("")).toBe("http://worker.example:30000/");
  });

  test("is of no interest for an endpoint that is there already", async () => {
    await worker({ authority: "w" });
    const endpoint_id = crypto.randomUUID();
    const first = await stage.client.syncEndpoint({ endpoint_id, body: service() });
    expect(await stage.client.syncEndpoint({ endpoint_id, body: service({}, { existing_url: "llama" }) })).toEqual(
      first,
    );
  });
});
