/**
 * Every pattern of the services takes a time that grows with the length of a text, not with its square or worse, whatever the
 * text: one of 64 KiB that a client has made for it must not stop everybody else. Patterns over text that only operators write
 * are no exception: nobody would notice when one gets to other text.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { attacksOn, textOf, type Attack } from "../support/patterns/adversary.ts";
import { literalsOf } from "../support/patterns/literals.ts";
import { ROOT } from "../support/spawned.ts";

/** How long texts are, in characters, and how long one may take, in milliseconds of the processor: a linear one takes a thousandth. */
const TRIALS = [
  // What grows exponentially is found here, what is cubic at the next ones.
  { length: 24, most: 20 },
  { length: 200, most: 20 },
  { length: 800, most: 20 },
  { length: 4096, most: 100 },
];
const WHOLE = { length: 32_768, most: 25 };
/** Of those that took more than this in the last trial, or of so many of them, the worst are tried with a long text. */
const [SUSPICIOUS_MS, ENOUGH, WORST] = [0.7, 16, 4];
/** Another try, when a busy machine may be to blame, which it is not for so long. */
const [TRIES, HOPELESS_MS] = [3, 400];

interface Pattern {
  where: string;
  regex: RegExp;
}

const files = [...new Bun.Glob("{coordinator,worker,shared}/**/*.ts").scanSync(ROOT)].toSorted();
const sources = files.map((file) => ({ file, text: readFileSync(join(ROOT, file), "utf8") }));
const literals = sources.flatMap(
  ({ file, text }) =>
  literalsOf(text).map(({ source, flags, line }): Pattern => ({ where: `${file}:${line}`, regex: new RegExp(source, flags) })), // prettier-ignore
);
const schemas = sources.flatMap(
  ({ file, text }) =>
  [...text.matchAll(/\bpattern: ("[^"]*")/g)].map(([, pattern = ""]): Pattern => ({ where: file, regex: new RegExp(JSON.parse(pattern) as string) })), // prettier-ignore
);

/** Those that are put together when their file is loaded. */
async function composed(): Promise<Pattern[]> {
  const found: Pattern[] = [];
  const Own = globalThis.RegExp;
  for (const { file, text } of sources.filter(({ text: one }) => one.includes("new RegExp("))) {
    globalThis.RegExp = new Proxy(Own, {
      construct(_, [source, flags]: [string, string | undefined]) {
        const regex = new Own(source, flags);
        found.push({ where: file, regex });
        return regex;
      },
    });
    // Loaded anew, whoever has loaded it before.
    await import(`${join(ROOT, file)}?patterns`).finally(() => (globalThis.RegExp = Own));
    expect(found.filter(({ where }) => where === file).length).toBeGreaterThanOrEqual(text.split("new RegExp(").length - 1); // prettier-ignore
  }
  return found;
}

function cost(regex: RegExp, text: string): number {
  const start = process.cpuUsage();
  if (regex.global) text.replaceAll(regex, "");
  else text.search(regex);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

/** The least of several tries; the first one that is below `enough` will do. */
function leastCost({ regex }: Pattern, attack: Attack, length: number, enough: number): number {
  const text = textOf(attack, length);
  let least = Infinity;
  for (let go = 0; go < TRIES && least > enough; go++) {
    least = Math.min(least, cost(regex, text));
    if (least > HOPELESS_MS) break;
  }
  return least;
}

/** What takes too long, with its text; null for a good pattern. */
function faultOf(pattern: Pattern): string | null {
  const attacks = attacksOn(pattern.regex.source);
  const fault = (ms: number, length: number, attack: Attack) => `${pattern.where} ${String(pattern.regex)}: ${Math.round(ms)} ms for ${length} of ${JSON.stringify(attack)}`; // prettier-ignore
  let costs: { attack: Attack; ms: number }[] = [];
  for (const { length, most } of TRIALS) {
    costs = [];
    for (const attack of attacks) {
      const ms = leastCost(pattern, attack, length, SUSPICIOUS_MS);
      if (ms > most) return fault(ms, length, attack);
      if (ms > SUSPICIOUS_MS) costs.push({ attack, ms });
      if (costs.length === ENOUGH) break;
    }
  }
  const worst = costs.toSorted((a, b) => b.ms - a.ms);
  for (const { attack } of worst.slice(0, WORST)) {
    const ms = leastCost(pattern, attack, WHOLE.length, WHOLE.most);
    if (ms > WHOLE.most) return fault(ms, WHOLE.length, attack);
  }
  return null;
}

describe("the search for bad patterns", () => {
  test.each([
    ["(a+)+$", "exponential"],
    ["^[^=;]*;[^=;]*;[^=;]*=(.*)(.*)(.*)x$", "cubic"],
    ["-+$", "quadratic"],
    ["\\beyJ[\\w-]*\\.[\\w-]+\\.[\\w-]+", "quadratic"],
  ])(
    "finds %s, which is %s",
    (source) => {
      expect(faultOf({ regex: new RegExp(source), where: "" })).not.toBeNull();
    },
    180_000,
  );

  test("passes good ones", () => {
    for (const source of ["^-+", "[a-z]+", "^\\w+ \\w+$"])
      expect(faultOf({ regex: new RegExp(source), where: "" })).toBeNull();
  });

  test("finds all literals of a source, and nothing else", () => {
    const text =
      'a = b / c / d; // /no/\nif (/a[/]\\//g.test("/x/")) return /b/i; /* /c/ */ `/${x / y}/ ${/d/u}`; (a) / 2 / 3;';
    expect(literalsOf(text).map(({ source, flags }) => `/${source}/${flags}`)).toEqual(["/a[/]\\//g", "/b/i", "/d/u"]);
  });
});

test("no pattern of the services takes longer than its text is long", async () => {
  const all = [...literals, ...schemas, ...(await composed())];
  expect(literals.length).toBeGreaterThan(80);
  expect(all.map(faultOf).filter((fault) => fault !== null)).toEqual([]);
}, 300_000);
