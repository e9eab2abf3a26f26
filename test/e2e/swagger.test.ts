/** Swagger UI with the network closed: the page loads from the coordinator alone, and a call is made with "Authorize". */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { closedPage, screenshot, startBrowser } from "../support/browser.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { API_SECRET, newKernel } from "../support/manager.ts";

let cluster: Cluster;
let browser: Browser;

beforeAll(async () => {
  [cluster, browser] = await Promise.all([startCluster(), startBrowser()]);
});

afterAll(async () => {
  await browser.close();
  await cluster.stop();
});

test("loads without the internet and calls the API with the secret that was typed in", async () => {
  const { page, strayed, errors } = await closedPage(browser);
  await page.goto(`${cluster.coordinator.baseUrl}/swagger`);
  await page.waitForSelector(".opblock");
  expect(await page.title()).toBe("App Proxy API");

  const list = page.locator("#operations-Workers-getApiWorker");
  await list.locator(".opblock-summary-control").click();
  const answered = (status: string) =>
    page.locator("tbody .response-col_status").filter({ hasText: new RegExp(`^${status}`) });
  await list.getByRole("button", { name: "Try it out" }).click();
  await list.getByRole("button", { name: "Execute" }).click();
  await list.locator(".live-responses-table").locator(answered("401")).waitFor();

  await page.getByRole("button", { name: "Authorize" }).first().click();
  // Beside that for a worker's own secret.
  const operators = page.locator(".auth-container").filter({ hasText: "The api_secret." });
  await operators.locator("input").fill(API_SECRET);
  await operators.getByRole("button", { name: "Apply credentials" }).click();
  await page.getByRole("button", { name: "Close" }).first().click();
  await list.getByRole("button", { name: "Execute" }).click();
  await list.locator(".live-responses-table").locator(answered("200")).waitFor();
  expect(await list.locator(".live-responses-table tbody .response-col_description").textContent()).toContain(
    "worker-1",
  );

  // Its example, sent as it is, harms nobody: the worker's record stays, and no app goes to the example's.
  const before = await recordOfWorker();
  const registering = page.locator("#operations-Workers-putApiWorker");
  await registering.locator(".opblock-summary-control").click();
  await registering.getByRole("button", { name: "Try it out" }).click();
  await registering.getByRole("button", { name: "Execute" }).click();
  await registering.locator(".live-responses-table").locator(answered("200")).waitFor();
  expect(await recordOfWorker()).toEqual(before);
  const { workers } = (await cluster.manager.api("GET", "/api/worker")).body as { workers: unknown[] };
  expect(workers).toHaveLength(2);
  for (let apps = 0; apps < 3; apps++) {
    const { token, sessionId } = await cluster.manager.conf(newKernel());
    expect((await cluster.manager.auth(token, sessionId)).status).toBe(200);
  }
  await screenshot(page, "swagger");
  expect(strayed).toEqual([]);
  expect(errors).toEqual([]);
});

/** Where the worker is and what it takes. */
async function recordOfWorker(): Promise<Record<string, unknown>> {
  const { workers } = (await cluster.manager.api("GET", "/api/worker")).body as { workers: Record<string, unknown>[] };
  const { id, hostname, api_port, port_range, app_filters, nodes, status } =
    workers.find(({ authority }) => authority === "worker-1") ?? {};
  return { id, hostname, api_port, port_range, app_filters, nodes, status };
}
