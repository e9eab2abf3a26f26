/** A page whose own name leads to a service of ours (DNS rebinding): to its browser, all that it asks for there is its own. */
import type { Page } from "playwright-core";
import { isRecord } from "../../../shared/values.ts";
import { FETCH } from "./attempts.ts";
import { run, type Scene } from "./stage.ts";

/** What such a page has got of an address, and whether every page may have that. */
export interface Told {
  url: string;
  got: { status: number; text: string };
  may: boolean;
}

const NAME = "rebound.example";

/** Every GET of the coordinator and of the worker's API, and the other app. `foreign`: a page of any other origin. */
export async function rebound({ cluster, api, context, b }: Scene, foreign: Page): Promise<Told[]> {
  const { coordinator } = cluster;
  const urls = [
    ...(await pathsOf(coordinator.baseUrl)).map((path) => coordinator.baseUrl + path),
    ...["/", "/status", "/setup", "/metrics", "/health", "/health/status", "/health/livez", "/health/readyz"].map((path) => api + path), // prettier-ignore
    `${b.origin}/`,
    `${b.origin}/_appproxy/enter`,
  ];
  const page = await context.newPage();
  const told: Told[] = [];
  for (const [origin, all] of Map.groupBy(urls, (url) => new URL(url).origin)) {
    // Any answer is a page of that origin to the browser.
    await page.goto(renamed(`${origin}/`));
    for (const url of all) {
      const [, status, text] = (await run(page, FETCH, renamed(url), {})) as [
        type: string,
        status: number,
        text: string,
      ];
      const may = status >= 400 || (await run(foreign, READS, url)) === status;
      told.push({ url, got: { status, text }, may });
    }
  }
  await page.close();
  return told;
}

// --- internal ---

/** What a page of another origin reads without credentials: the status; 0 for nothing. */
const READS = `(url) => fetch(url, { credentials: "omit" }).then(({ status }) => status, () => 0)`;

function renamed(url: string): string {
  const at = new URL(url);
  at.hostname = NAME;
  return at.href;
}

/** All that the coordinator documents to be got, whatever the parameters. */
async function pathsOf(baseUrl: string): Promise<string[]> {
  const document: unknown = await (await fetch(`${baseUrl}/swagger/json`)).json();
  const paths = isRecord(document) && isRecord(document["paths"]) ? Object.entries(document["paths"]) : [];
  return paths
    .filter(([, operations]) => isRecord(operations) && "get" in operations)
    .map(([path]) => path.replaceAll(/\{\w+\}/g, crypto.randomUUID()));
}
