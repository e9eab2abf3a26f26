/** Reads Bun's JUnit report of one test file: counts, and what failed with its message. */
import { existsSync, readFileSync } from "node:fs";
import type { Failure, Outcome } from "./outcome.ts";

/** Null when the runner broke off and left no report. `again` gives the command that repeats a test. */
export function readReport(path: string, again: (name: string) => string): Outcome | null {
  if (!existsSync(path)) return null;
  const text = readFileSync(path, "utf8");
  const [head = ""] = /<testsuites [^>]*>/.exec(text) ?? [];
  const of = (what: string) => Number(new RegExp(` ${what}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failures = [...text.matchAll(/<testcase ([^>]*[^/])>\s*<failure ([^>]*)>/g)].map(
    ([, test = "", failure = ""]) => failureOf(test, failure, again),
  );
  return { passed: of("tests") - of("failures") - of("skipped"), skipped: of("skipped"), failures };
}

// --- internal ---

function failureOf(test: string, failure: string, again: (name: string) => string): Failure {
  const group = attribute(test, "classname");
  const name = [group, attribute(test, "name")].filter((part) => part !== "").join(" > ");
  return { name, where: attribute(test, "file"), message: attribute(failure, "message"), again: again(name) };
}

const ENTITIES: Record<string, string> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&" };

function attribute(tag: string, name: string): string {
  const value = new RegExp(`(?:^| )${name}="([^"]*)"`).exec(tag)?.[1] ?? "";
  return value.replace(
    /&(?:#(\d+)|\w+);/g,
    (entity, code?: string) => ENTITIES[entity] ?? String.fromCodePoint(Number(code)),
  );
}
