/** The rooms of the house: folders that import one way, and what only some of them may load. Imports of types count. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ROOT } from "./support/spawned.ts";

const files = [...new Bun.Glob("{coordinator,worker,shared,scripts}/**/*.ts").scanSync(ROOT)].toSorted();

/** A folder; a file beside the folders of a service is a room of its own. */
function roomOf(file: string): string {
  const folder = dirname(file);
  return folder.includes("/") ? folder : file;
}

interface Import {
  from: string;
  /** A file of the project, or a package. */
  to: string;
}

const imports: Import[] = files.flatMap((from) =>
  [...readFileSync(join(ROOT, from), "utf8").matchAll(/\b(?:from|import)\s*\(?\s*["'`]([^"'`]+)["'`]/g)].map(
    ([, name = ""]) => ({
      from,
      to: name.startsWith(".") ? normalize(join(dirname(from), name)) : name,
    }),
  ),
);

/** Rooms that can be reached from a room, each with the imports that lead there. */
const doors = new Map<string, Map<string, string>>();
for (const { from, to } of imports) {
  if (!files.includes(to) || roomOf(from) === roomOf(to)) continue;
  const mine = doors.get(roomOf(from)) ?? new Map<string, string>();
  doors.set(roomOf(from), mine.set(roomOf(to), `${from} imports ${to}`));
}

/** The imports of a way from a room back to itself; null when there is none. */
function circleAt(start: string): string[] | null {
  const seen = new Set<string>();
  const walk = (room: string, way: string[]): string[] | null => {
    for (const [next, door] of doors.get(room) ?? []) {
      if (next === start) return [...way, door];
      if (seen.has(next)) continue;
      seen.add(next);
      const found = walk(next, [...way, door]);
      if (found !== null) return found;
    }
    return null;
  };
  return walk(start, []);
}

test("the imports are found", () => {
  expect(imports).toContainEqual({ from: "worker/core/decide.ts", to: "worker/circuits/table.ts" });
  expect(imports.length).toBeGreaterThan(files.length);
});

test("no room leads back to itself", () => {
  expect([...doors.keys()].map(circleAt).filter((circle) => circle !== null)).toEqual([]);
});

test("a circle would be seen", () => {
  doors.set("a", new Map([["b", "a imports b"]])).set("b", new Map([["a", "b imports a"]]));
  expect(circleAt("a")).toEqual(["a imports b", "b imports a"]);
  for (const name of ["a", "b"]) doors.delete(name);
});

/** Files that load what they may not. */
function strays(what: RegExp, may: RegExp): string[] {
  return imports
    .filter(({ from, to }) => what.test(to) && !may.test(from))
    .map(({ from, to }) => `${from} loads ${to}`);
}

test("only the store knows Drizzle", () => {
  expect(strays(/^drizzle-orm/, /^coordinator\/store\//)).toEqual([]);
});

test("only what speaks HTTP knows Elysia", () => {
  expect(strays(/^(elysia|@elysiajs\/)/, /^coordinator\/(http\/|[\w-]+\/api\.ts$)/)).toEqual([]);
});

test("an engine rests on what every engine rests on, not on the core's rules", () => {
  // Of the listeners it is what binds a port and hands it over; how Linux does that is theirs.
  const may =
    /^worker\/((seam|protocols|net)\/|listeners\/(types|bind-shared|(lane-)?handover|generations)\.ts$|engine\/tcp(-leg)?\.ts$)|^shared\//;
  const own = (from: string) => `${from.split("/").slice(0, 3).join("/")}/`;
  const strange = imports.filter(
    ({ from, to }) =>
      from.startsWith("worker/engine/") && files.includes(to) && !to.startsWith(own(from)) && !may.test(to),
  );
  expect(strange.map(({ from, to }) => `${from} loads ${to}`)).toEqual([]);
});

test("protocols and net know nothing of circuits", () => {
  const may = /^worker\/(seam|protocols|net)\/|^shared\//;
  const strange = imports.filter(
    ({ from, to }) => /^worker\/(protocols|net)\//.test(from) && files.includes(to) && !may.test(to),
  );
  expect(strange.map(({ from, to }) => `${from} loads ${to}`)).toEqual([]);
});

test("few files stand beside the rooms of a service", () => {
  for (const service of ["coordinator", "worker"])
    expect(files.filter((file) => dirname(file) === service).length).toBeLessThanOrEqual(8);
});
