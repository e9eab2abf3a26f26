/**
 * Every refusal of the calls that browsers make: a navigation gets its page, in the person's language, and a program that asks
 * for the same the problem document that it knows.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { PageKind } from "../../../shared/failure.ts";
import { WORDS } from "../../../shared/pages/texts.ts";
import { newKernel } from "../../support/manager.ts";
import { places, type Started } from "./places.ts";
import type { Place } from "./plan.ts";
import type { Name } from "./stage.ts";
import { table } from "./table.ts";

const BROWSERS_CALL: readonly Name[] = ["whereToOpen", "open", "openByQuery", "close"];

/** By what is wrong; everything else is a link that has been spoilt. */
const PAGES: Record<string, PageKind> = {
  "no worker": "no-worker",
  "a protocol that no worker carries": "no-worker",
  "a worker that acknowledges nothing": "not-responding",
  "a session that is full": "too-many-apps",
  "a port that is taken": "port-taken",
  "a port of no worker": "port-taken",
  "an unknown token": "link-expired",
  "a token of another session": "other-session",
};

describe.each(["usual", "empty", "deaf", "full"] satisfies Place[])("at a coordinator that is %s", (place) => {
  let started: Started;
  beforeAll(async () => {
    started = await places[place]();
  }, 60_000);
  afterAll(() => started.stop());

  // 431 is Bun's own word, before anything of ours has seen the request.
  const examples = table
    .filter(({ name }) => BROWSERS_CALL.includes(name))
    .flatMap(({ name, refusals }) => refusals.map((one) => ({ ...one, name })))
    .filter((one) => one.place === place && one.status !== 431);

  test.each(examples)("$name with $what has its page, and $status for programs", async (example) => {
    const { name, ask, headers, says, status, what } = example;
    const { stage } = started;
    for (const language of ["en", "ko"] as const) {
      const answer = await stage.visit(name, await ask(stage), language);
      const html = await answer.text();
      const { title } = WORDS[language].pages[PAGES[what] ?? pageOf(status)];
      expect([answer.status, html]).toEqual([status, expect.stringContaining(`<h1>${Bun.escapeHTML(title)}</h1>`)]);
      expect(html).toStartWith(`<!doctype html><html lang="${language}">`);
      const names = ["content-type", "content-language", "cache-control"];
      expect(names.map((one) => answer.headers.get(one))).toEqual(["text/html; charset=utf-8", language, "no-store"]);
      expect(html).toContain(answer.headers.get("x-error-id") ?? "no error id");
    }
    says(await stage.send(name, await ask(stage), await headers?.()));
  });

  if (place === "usual")
    test("a token whose session is over, for another one has its kernel, has a page that says so", async () => {
      const { manager } = started.stage;
      const kernel = newKernel();
      const { token, sessionId } = await manager.conf(kernel);
      await manager.conf(kernel);
      const query = { token, session_id: sessionId, app: "jupyter", protocol: "http" };
      for (const language of ["en", "ko"] as const) {
        const answer = await started.stage.visit("openByQuery", { query }, language);
        const { title } = WORDS[language].pages["session-over"];
        expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining(`<h1>${title}</h1>`)]);
      }
      const { status, body } = await started.stage.send("openByQuery", { query });
      expect([status, body["msg"]]).toEqual([401, "token: its kernel's address is another session's by now"]);
    });
});

// --- internal ---

function pageOf(status: number): PageKind {
  return status === 413 ? "too-large" : "bad-link";
}
