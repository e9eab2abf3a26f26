/** ARCHITECTURE.md is the map: every file that it names exists, and every source file is named. README and routes keep their promises too. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./support/spawned.ts";

const map = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
const sources = [...new Bun.Glob("{coordinator,worker,shared,scripts}/**/*.ts").scanSync(ROOT)].toSorted();

/** Files that the map names anywhere by their whole path. */
const cited = [...map.matchAll(/`((?:coordinator|worker|shared|scripts|test)\/[\w./-]+\.ts)`/g)].map(([, file]) =>
  String(file),
);
/** Files in the tables of rooms: a row begins with the room, its files are named without it. */
const inRooms = [...map.matchAll(/^\| `([\w/-]+\/)` \|.*$/gm)].flatMap(([row, room]) =>
  [...row.matchAll(/`([\w-]+\.ts)`/g)].map(([, name]) => `${room}${name}`),
);

test("every file that the map names is there", () => {
  expect([...cited, ...inRooms].filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
});

test("every source file stands once in its room's row", () => {
  expect(inRooms.toSorted()).toEqual(sources);
});

test("every source file starts by saying what it is", () => {
  expect(sources.filter((file) => !readFileSync(join(ROOT, file), "utf8").startsWith("/**"))).toEqual([]);
});

/** In comments; a name without folders may be that of a neighbour or of any file that there is only one of. */
test("every file that a comment names is there", () => {
  const all = [...new Bun.Glob("{coordinator,worker,shared,scripts,test}/**/*.ts").scanSync(ROOT)];
  const strays = sources.flatMap((file) => {
    const comments = readFileSync(join(ROOT, file), "utf8").match(/\/\*\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm) ?? [];
    const names = comments.flatMap((text) => text.match(/(?<![\w./…-])[\w-]+(?:\/[\w.-]+)*\.ts\b/g) ?? []);
    return names
      .filter((name) => !all.some((there) => there === name || there.endsWith(`/${name}`)))
      .map((name) => `${file} names ${name}`);
  });
  expect(strays).toEqual([]);
});

test("every script that the README tells to run is there", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const told = [...readFileSync(join(ROOT, "README.md"), "utf8").matchAll(/bun(?:@[\d.]+)? run ([\w-]+)/g)].map(
    ([, name]) => String(name),
  );
  expect(told.filter((name) => scripts[name] === undefined)).toEqual([]);
});
