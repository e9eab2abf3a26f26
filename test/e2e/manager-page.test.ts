/**
 * Pages in a browser on the coordinator's machine can't act as the Manager, who needs no secret there: neither pages of another
 * origin, whatever way of sending they take, nor one whose own name leads to the coordinator (DNS rebinding). The Manager still can.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { closedPage, startBrowser } from "../support/browser.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { confBody } from "../support/manager.ts";
import { servePage } from "../support/webui-stage.ts";

/** A service that listens on loopback only, as the kernel that a page would like to reach. */
const VICTIM = JSON.stringify(confBody({ kernel_port: 22 }));
/** Debian's, for which python3-aiohttp is. */
const PYTHON = "/usr/bin/python3";

let cluster: Cluster;
let browser: Browser;
let foreign: Bun.Server<undefined>;
let conf: string;

beforeAll(async () => {
  [cluster, browser] = await Promise.all([startCluster(), startBrowser()]);
  foreign = servePage();
  conf = `${cluster.coordinator.baseUrl}/v2/conf`;
});
afterAll(async () => {
  await browser.close();
  await foreign.stop(true);
  await cluster.stop();
});

function tokens(): number {
  using database = new Database(cluster.database, { readonly: true });
  return (database.query("SELECT count(*) AS n FROM tokens").get() as { n: number }).n;
}

/** What a page learns of its call, and how many tokens there are more. */
async function attempt(
  at: string,
  send: (page: Page) => Promise<unknown>,
): Promise<{ learnt: unknown; tokens: number }> {
  const before = tokens();
  const { page } = await closedPage(browser);
  await page.goto(at);
  const learnt = await send(page);
  await page.close();
  return { learnt, tokens: tokens() - before };
}

/** Runs the text of a function in a page. */
const run = (page: Page, script: string, ...given: unknown[]): Promise<unknown> =>
  page.evaluate(`(${script})(...${JSON.stringify(given)})`);

/** What a page learns of an answer: its type, its status, its text; or why it has none. */
const FETCH = `async (url, init) => {
  try {
    const answer = await fetch(url, { ...init, referrerPolicy: "no-referrer" });
    return [answer.type, answer.status, await answer.text()];
  } catch (error) {
    return String(error);
  }
}`;
/** A Blob without a type is sent without a content type. */
const FETCH_BLOB = `(url, init) => (${FETCH})(url, { ...init, body: new Blob([init.body]) })`;
const FORM = `(action, enctype, name, value) => {
  const form = Object.assign(document.createElement("form"), { method: "POST", action, enctype });
  form.append(Object.assign(document.createElement("input"), { name, value }));
  document.body.append(form);
  form.submit();
}`;
const BEACON = `(url, text, type) => navigator.sendBeacon(url, new Blob([text], { type }))`;

const TYPES = [
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "application/json",
  "text/plain; application/json",
];
const REFUSED = "TypeError: Failed to fetch";
const ELSEWHERE: [string, () => string][] = [
  ["on another port", () => `http://127.0.0.1:${foreign.port}/`],
  ["of another name", () => `http://evil.example:${foreign.port}/`],
];

describe.each(ELSEWHERE)("a page of another origin, %s,", (_where, at) => {
  test.each(["cors", "no-cors"])("gets no token by fetch with mode %s", async (mode) => {
    const init = { method: "POST", mode, body: VICTIM };
    const learnt = mode === "cors" ? REFUSED : ["opaque", 0, ""];
    const found = await attempt(at(), async (page) => {
      const told = [await run(page, FETCH_BLOB, conf, init)];
      for (const type of TYPES) told.push(await run(page, FETCH, conf, { ...init, headers: { "Content-Type": type } }));
      return told;
    });
    expect(found).toEqual({ learnt: ["", ...TYPES].map(() => learnt), tokens: 0 });
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])(
    "gets no token by a form of %s",
    async (enctype) => {
      const found = await attempt(at(), async (page) => {
        const answered = page.waitForResponse(conf);
        // As text/plain it is JSON: `{…,"more":"="}`.
        await run(page, FORM, conf, enctype, `${VICTIM.slice(0, -1)},"more":"`, '"}');
        return (await answered).status();
      });
      expect(found).toEqual({ learnt: 401, tokens: 0 });
    },
  );

  test.each(["text/plain", "application/json", ""])("gets no token by sendBeacon with %p", async (type) => {
    const found = await attempt(at(), async (page) => {
      const ended = Promise.race([
        page.waitForEvent("requestfinished", (request) => request.url() === conf),
        page.waitForEvent("requestfailed", (request) => request.url() === conf),
      ]);
      const isSent = await run(page, BEACON, conf, VICTIM, type);
      await ended;
      return isSent;
    });
    expect(found).toEqual({ learnt: true, tokens: 0 });
  });

  test("reads nothing of what is for programs", async () => {
    const paths = ["/metrics", "/api/worker", "/health/summary", "/v1/api/worker", "/swagger/json"];
    const urls = [...paths.map((path) => cluster.coordinator.baseUrl + path), `${cluster.workerApi}/metrics`];
    const { learnt } = await attempt(at(), (page) => Promise.all(urls.map((url) => run(page, FETCH, url, {}))));
    expect(learnt).toEqual(urls.map(() => REFUSED));
  });
});

describe("a page whose own name leads here", () => {
  /** A page of ours under that name, as any page under it can send what this one can. */
  const ask = (base: string, path: string, init: object) =>
    attempt(`${base.replace("127.0.0.1", "rebound.example")}/status`, (page) => run(page, FETCH, path, init));

  test("gets no token", async () => {
    const json = { method: "POST", body: VICTIM, headers: { "Content-Type": "application/json" } };
    const found = await ask(cluster.coordinator.baseUrl, "/v2/conf", json);
    const said = expect.stringContaining("Host: wanted an address, localhost or a name of this service") as string;
    expect(found).toEqual({ learnt: ["basic", 421, said], tokens: 0 });
  });

  test.each(["coordinator", "worker"])("reads no figures of a %s", async (which) => {
    const base = which === "coordinator" ? cluster.coordinator.baseUrl : cluster.workerApi;
    const { learnt } = await ask(base, "/metrics", {});
    expect(learnt).toEqual(["basic", 421, expect.not.stringContaining("appproxy_info")]);
  });
});

describe("the Manager on this machine", () => {
  test("gets its token as ever", async () => {
    const before = tokens();
    await cluster.manager.conf({ kernel_port: 1 });
    expect(tokens() - before).toBe(1);
  });

  test("gets it with the client that it is written with", async () => {
    const program = `
import aiohttp, asyncio, json, sys
async def main():
    async with aiohttp.ClientSession(base_url=sys.argv[1]) as session:
        async with session.post("/v2/conf", json=json.loads(sys.argv[2])) as answer:
            print(answer.status, (await answer.json()).get("token"))
asyncio.run(main())`;
    for (const base of [cluster.coordinator.baseUrl, cluster.coordinator.baseUrl.replace("127.0.0.1", "localhost")]) {
      const ran = Bun.spawn([PYTHON, "-c", program, base, VICTIM], { stderr: "inherit" });
      expect(await new Response(ran.stdout).text()).toMatch(/^200 [0-9a-f-]{36}\n$/);
    }
  });
});
