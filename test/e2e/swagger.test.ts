/** Swagger UI with the network closed: the page loads from the coordinator alone, and a call is made with "Authorize". */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { closedPage, screenshot, startBrowser } from "../support/browser.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { API_SECRET } from "../support/manager.ts";

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
  await page.locator(".auth-container").filter({ hasText: "X-BackendAI-Token" }).locator("input").fill(API_SECRET);
  await page
    .locator(".auth-container")
    .filter({ hasText: "X-BackendAI-Token" })
    .getByRole("button", { name: "Apply credentials" })
    .click();
  await page.getByRole("button", { name: "Close" }).first().click();
  await list.getByRole("button", { name: "Execute" }).click();
  await list.locator(".live-responses-table").locator(answered("200")).waitFor();
  expect(await list.locator(".live-responses-table tbody .response-col_description").textContent()).toContain(
    "worker-1",
  );
  await screenshot(page, "swagger");
  expect(strayed).toEqual([]);
  expect(errors).toEqual([]);
});
