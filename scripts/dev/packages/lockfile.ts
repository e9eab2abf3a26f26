/**
 * What bun.lock says of the packages: which are installed, for what, and which of them need which. Packages that others name only
 * as their peers are never installed (bunfig.toml) and left out. Pure.
 */
import { isRecord } from "../../../shared/values.ts";

export interface Package {
  /** Its place, such as `pino-pretty/sonic-boom`: unique, also where a package is there in several versions. */
  key: string;
  name: string;
  /** Null for a folder of this repository, which has no version in the lock file. */
  version: string | null;
  /** That folder; null for what comes from a registry. */
  folder: string | null;
  /** As in `sha512-…`; null for such a folder. */
  integrity: string | null;
  /** For certain systems alone: elsewhere it is not installed. */
  isForSomeSystems: boolean;
  /** Whether the services need it, not only those who develop them. */
  isRuntime: boolean;
  /** Keys of the packages that it needs. */
  needs: string[];
}

export interface Lockfile {
  /** Keys of the packages that the project itself names. */
  direct: string[];
  /** In the order of their keys. */
  packages: Package[];
}

/** Reads the text of bun.lock. Throws when it has another form, or lacks a package that is needed. */
export function readLockfile(text: string): Lockfile {
  const lock: unknown = Bun.JSONC.parse(text);
  const entries = new Map(
    Object.entries(recordIn(lock, "packages")).map(([key, entry]) => [key, readEntry(key, entry)]),
  );
  const project = recordIn(recordIn(lock, "workspaces"), "");
  const resolve = (from: string, name: string) => resolved(entries, from, name);
  const named = (...fields: string[]) =>
    fields.flatMap((field) => Object.keys(recordIn(project, field, {})).map((name) => mustResolve(resolve, "", name)));
  const needs = (key: string) => needsOf(key, entries, resolve);
  const runtime = reachable(named("dependencies", "optionalDependencies"), needs);
  const direct = named("dependencies", "optionalDependencies", "devDependencies");
  // What only such a package needs is not installed elsewhere either.
  const isForSome = (key: string) => ["os", "cpu"].some((name) => name in mustHave(entries, key).info);
  const everywhere = reachable(direct, (key) => needs(key).filter((one) => !isForSome(one)));
  const packages = [...reachable(direct, needs)].toSorted().map((key): Package => {
    const { info: _info, ...entry } = mustHave(entries, key);
    return { key, ...entry, isForSomeSystems: !everywhere.has(key), isRuntime: runtime.has(key), needs: needs(key) };
  });
  return { direct: direct.toSorted(), packages };
}

/** Where a package is installed, below `node_modules`. */
export function installedAt({ key }: Pick<Package, "key">): string {
  return parts(key).join("/node_modules/");
}

// --- internal ---

type Entry = Omit<Package, "key" | "isForSomeSystems" | "isRuntime" | "needs"> & { info: Record<string, unknown> };
type Resolve = (from: string, name: string) => string | null;

/** `["name@version", registry, info, integrity]`, or `["name@file:folder", info]`. */
function readEntry(key: string, entry: unknown): Entry {
  const [spec, ...rest]: unknown[] = Array.isArray(entry) ? entry : [];
  const [, name, at] = /^(.+?)@([^@]*)$/.exec(String(spec)) ?? [];
  if (name === undefined || at === undefined)
    throw new Error(`bun.lock: ${key}: wanted name@version, got ${JSON.stringify(spec)}`);
  const folder = /^file:(.*)$/.exec(at)?.[1] ?? null;
  const info: Record<string, unknown> = rest.find(isRecord) ?? {};
  const integrity = rest.filter((one) => typeof one === "string").find((one) => /^sha\d+-/.test(one));
  if (folder === null && integrity === undefined) throw new Error(`bun.lock: ${key}: wanted an integrity, got none`);
  return {
    name,
    version: folder === null ? at : null,
    folder,
    integrity: integrity ?? null,
    info,
  };
}

/** What is optional may be left out of the lock file. */
function needsOf(key: string, entries: Map<string, Entry>, resolve: Resolve): string[] {
  const { info } = mustHave(entries, key);
  const needed = Object.keys(recordIn(info, "dependencies", {})).map((name) => mustResolve(resolve, key, name));
  const wished = Object.keys(recordIn(info, "optionalDependencies", {})).map((name) => resolve(key, name));
  return [...new Set([...needed, ...wished.filter((one) => one !== null)])].toSorted();
}

/** The nearest package of that name, as a runtime looks for it: beside, then further out. */
function resolved(entries: Map<string, Entry>, from: string, name: string): string | null {
  const around = from === "" ? [] : parts(from);
  for (let depth = around.length; depth >= 0; depth--) {
    const key = [...around.slice(0, depth), name].join("/");
    if (entries.has(key)) return key;
  }
  return null;
}

function mustResolve(resolve: Resolve, from: string, name: string): string {
  const key = resolve(from, name);
  if (key === null) throw new Error(`bun.lock: ${from} needs ${name}, which is not there`);
  return key;
}

function mustHave(entries: Map<string, Entry>, key: string): Entry {
  const entry = entries.get(key);
  if (entry === undefined) throw new Error(`bun.lock: ${key} is not there`);
  return entry;
}

/** Names of packages in a place: `a/@b/c/d` is `a`, `@b/c` and `d`. */
function parts(key: string): string[] {
  return key.match(/@[^/]+\/[^/]+|[^/]+/g) ?? [];
}

function reachable(start: readonly string[], needs: (key: string) => string[]): Set<string> {
  const seen = new Set(start);
  // What is added while it is walked is walked too.
  for (const key of seen) for (const next of needs(key)) seen.add(next);
  return seen;
}

function recordIn(value: unknown, name: string, otherwise?: Record<string, unknown>): Record<string, unknown> {
  const found = isRecord(value) ? (value[name] ?? otherwise) : undefined;
  if (isRecord(found)) return found;
  throw new Error(`bun.lock: wanted an object "${name}"`);
}
