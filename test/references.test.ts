/**
 * Rules that code, tests and documents cite by name and number, such as `consistency 8` or `dataplane R1–R3`: each is
 * written down, and names the tests that hold it. A reference in another form is a fault too, as nobody would find it.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LINES } from "./contract/shapes.ts";
import { ROOT } from "./support/spawned.ts";

/** Where the rules of each name are. */
const DOCUMENTS = {
  dataplane: "test/contract/CONTRACT.md",
  consistency: "docs/consistency.md",
  security: "docs/security.md",
  wire: "docs/wire.md",
} as const;
type Name = keyof typeof DOCUMENTS;

interface Rule {
  /** As it is cited. */
  cited: string;
  tests: string[];
}

const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
const rules = (Object.keys(DOCUMENTS) as Name[]).flatMap((name) => rulesOf(name, read(DOCUMENTS[name])));
const known = new Set(rules.map(({ cited }) => cited));
const files = ["*.md", "{docs,coordinator,worker,shared,scripts,test}/**/*.{ts,md}"]
  .flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(ROOT)])
  .filter((file) => !/^test\/(artefacts|fixtures)\/|^test\/references\.test\.ts$/.test(file))
  .toSorted();

test("every reference leads to a rule", () => {
  expect(files.flatMap((file) => referencesIn(read(file))).length).toBeGreaterThan(40);
  const dead = files.flatMap((file) =>
    referencesIn(read(file))
      .filter((cited) => !known.has(cited))
      .map((cited) => `${file}: ${cited}`),
  );
  expect(dead).toEqual([]);
});

test("every rule names the tests that hold it, and they are there", () => {
  const loose = rules.flatMap(({ cited, tests }) =>
    tests.length === 0
      ? [`${cited}: no test`]
      : tests.filter((file) => !existsSync(join(ROOT, file))).map((file) => `${cited}: ${file}`),
  );
  expect(loose).toEqual([]);
});

test("every rule has a number of its own", () => {
  expect(rules.map(({ cited }) => cited)).toEqual([...known]);
  expect(rules.length).toBeGreaterThan(LINES.length);
});

test("the contract's lines are those of its suite, and each is tested where it says", () => {
  const lines = rules.filter(({ cited }) => cited.startsWith("dataplane "));
  expect(lines.map(({ cited }) => cited.split(" ")[1]).toSorted()).toEqual([...LINES].toSorted());
  const untested = lines.flatMap(({ cited, tests }) =>
    tests
      .filter((file) => file.startsWith("test/contract/") && !read(file).includes(`"${cited.split(" ")[1]}"`))
      .map((file) => `${cited}: ${file}`),
  );
  expect(untested).toEqual([]);
});

test("sections are cited of standards only", () => {
  const section = /(RFC \w+|CSP 3|Secure Contexts|PROXY protocol) §[\d.]+(, §[\d.]+)*/g;
  expect(files.filter((file) => read(file).replaceAll(section, "").includes("§"))).toEqual([]);
});

describe("SECURITY.md", () => {
  const text = read("SECURITY.md");
  const quoted = [...text.matchAll(/`([^`\n]+)`/g)].map(([, one]) => String(one));

  test("names tests that are there, for whoever may attack", () => {
    const tests = quoted.filter((one) => one.startsWith("test/"));
    expect(tests.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
    const rows = rowsBelow(text, "| who |");
    expect(rows.filter((cells) => !/`security \d+`/.test(cells[2] ?? "") || !cells[3]?.includes("`test/"))).toEqual([]);
    expect(rows.length).toBeGreaterThan(6);
  });

  test("names keys as they are, and their ports", () => {
    const defaults = new Map(rowsBelow(read("README.md"), "| key |").map(([key = "", value = ""]) => [key.replaceAll("`", ""), value])); // prettier-ignore
    const sections = new Set([...defaults.keys()].map((key) => key.split(".", 1)[0]));
    const keys = quoted.filter((one) => /^[a-z_]+(\.[a-z_]+)+$/.test(one) && sections.has(one.split(".", 1)[0]));
    expect(keys.filter((key) => !defaults.has(key) && ![...defaults.keys()].some((one) => one.startsWith(`${key}.`)))).toEqual([]); // prettier-ignore
    const ports = rowsBelow(text, "| from |").flatMap(([, , port = ""]) => [
      ...port.matchAll(/(\d+(?:–\d+)?) `([\w.]+)`/g),
    ]);
    const wrong = ports.filter(
      ([, port = "", key = ""]) => !port.split("–").every((one) => defaults.get(key)?.includes(one)),
    );
    expect([ports.length > 8, wrong.map(([whole]) => whole)]).toEqual([true, []]);
  });
});

test.each([
  ["(consistency 8).", ["consistency 8"]],
  ["dataplane H4–H6, security 2", ["dataplane H4", "dataplane H5", "dataplane H6", "security 2"]],
  ["dataplane H14, T3", ["dataplane H14", "dataplane T3"]],
  ["wire.md 5", ["wire.md 5"]],
  ["wire §7", ["wire §7"]],
  ["wire 3, E20006 to E20009", ["wire 3"]],
  ["dataplane's H9", ["dataplane's H9"]],
  ["security no. 6", ["security no. 6"]],
  ["a wire 30 m long is no rule", ["wire 30"]],
  ["on the wire in 2 s", []],
])("%s: %p", (text, cited) => {
  expect(referencesIn(text)).toEqual(cited);
});

// --- internal ---

/** The cells of all tables whose heads begin so. */
function rowsBelow(document: string, head: string): string[][] {
  return document
    .split(`\n${head}`)
    .slice(1)
    .flatMap((table) => (table.split("\n\n")[0] ?? "").split("\n").slice(2))
    .filter((row) => row.startsWith("|"))
    .map((row) => row.split(" | ").map((cell) => cell.replaceAll(/^\|\s*|\s*\|$/g, "").trim()));
}

/** Rules are headings of the form in which they are cited, so that their anchors are stable. */
function rulesOf(name: Name, document: string): Rule[] {
  return document
    .split(/^### /m)
    .slice(1)
    .map((part) => {
      const [heading = ""] = part.split("\n");
      expect(heading).toMatch(new RegExp(`^${name} [A-Z]?\\d+$`));
      const [, held = ""] = part.split(/^Held by /m);
      return { cited: heading, tests: [...held.matchAll(/`([^`]+)`/g)].map(([, file]) => String(file)) };
    });
}

/** What a text cites, one by one; what has another form is given as it stands. */
function referencesIn(text: string): string[] {
  const cited =
    /\b(dataplane|consistency|security|wire)((?:\.md|'s)?(?: no\.| §)?,? ?)([A-Z]?\d{1,2}(?:(?:–|, )[A-Z]?\d{1,2})*)\b/g;
  return [...text.matchAll(cited)].flatMap(([whole, name, between, numbers = ""]) =>
    between === " " ? numbers.split(", ").flatMap((one) => expanded(one).map((id) => `${name} ${id}`)) : [whole],
  );
}

/** `R1–R3` is three. */
function expanded(numbers: string): string[] {
  const [first = "", last = first] = numbers.split("–");
  const letter = /^[A-Z]?/.exec(first)?.[0] ?? "";
  const [from, to] = [first, last].map((one) => Number(one.replace(/^[A-Z]/, "")));
  return Array.from({ length: (to ?? 0) - (from ?? 0) + 1 }, (_, at) => `${letter}${(from ?? 0) + at}`);
}
