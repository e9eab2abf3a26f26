/**
 * Reads a service's configuration once: defaults, then the TOML file, then environment variables.
 * All faults are collected and reported together; keys without a meaning here are named, not refused.
 */
import { parse as parseToml, TomlError } from "smol-toml";
import { reason } from "../failure.ts";
import { StartError } from "../runtime/process.ts";
import { snakeKeys } from "../compat/keys.ts";
import type { Field } from "./fields.ts";
import { isRecord } from "../values.ts";

/** Sections of fields, at most two deep, as in the TOML file. */
export interface Table {
  readonly [key: string]: Field<unknown> | Table;
}

/** The values that a table describes. */
export type Values<T> = T extends Field<infer V> ? V : { readonly [K in keyof T]: Values<T[K]> };

export interface Fault {
  key: string;
  message: string;
}

/** Every fault of a configuration, in one error. */
export class ConfigError extends StartError {
  readonly faults: Fault[];

  /** `ignored`: keys that nothing reads. What is missing may be one of them, misspelt. */
  constructor(source: string, faults: Fault[], ignored: readonly string[] = []) {
    const lines = [...faults.map((f) => `${f.key}: ${f.message}`), ...ignored.map(unread)].map((line) => `  ${line}`);
    super([`${source}: ${faults.length === 1 ? "1 fault" : `${faults.length} faults`}`, ...lines].join("\n"));
    this.name = "ConfigError";
    this.faults = faults;
  }
}

export interface Loaded<T> {
  values: Values<T>;
  /** Keys of the file that nothing reads, dotted, and environment variables with our prefix that name no key. */
  ignored: string[];
}

/** One line of a table: a dotted key, its environment variable and its field. */
export interface Key {
  key: string;
  env: string;
  field: Field<unknown>;
}

/** All keys of a table, in order. */
export function keysOf(table: Table, prefix: string, path: string[] = []): Key[] {
  return Object.entries(table).flatMap(([name, entry]) => {
    const here = [...path, name];
    if (!isField(entry)) return keysOf(entry, prefix, here);
    return [{ key: here.join("."), env: envName(prefix, here), field: entry }];
  });
}

/**
 * Reads the values of `table`. `prefix` starts the environment variables' names; `imply` completes values that follow
 * from others, `check` finds faults that concern several keys. Throws ConfigError with everything that is wrong.
 */
export function loadConfig<const T extends Table>(
  table: T,
  options: {
    source: string;
    toml: string;
    env: Record<string, string | undefined>;
    prefix: string;
    imply: (values: Values<T>) => Values<T>;
    check: (values: Values<T>) => Fault[];
  },
): Loaded<T> {
  const file = readToml(options.source, options.toml);
  const faults: Fault[] = [];
  const seen = new Set<string>();
  const values: Record<string, unknown> = {};
  for (const { key, env, field } of keysOf(table, options.prefix)) {
    seen.add(key);
    put(values, key, readKey({ key, env, field, fromFile: valueAt(file, key), fromEnv: options.env[env] }, faults));
  }
  const whole = options.imply(values as Values<T>);
  // A value that could not be read stands at its default here; what that default lacks is not told as well.
  const named = new Set(faults.map(({ key }) => key));
  faults.push(...options.check(whole).filter(({ key }) => !named.has(key)));
  const ignored = [...leaves(file).filter((key) => !isRead(key, seen)), ...strayVariables(table, options)];
  if (faults.length > 0) throw new ConfigError(options.source, faults, ignored);
  return { values: freeze(whole), ignored };
}

/** How a key that nothing reads is told of. */
export function unread(key: string): string {
  return `${key}: nothing reads this key`;
}

/** The name of the environment variable of a key: `APP_PROXY_WORKER__SECRETS__API_SECRET`. */
export function envName(prefix: string, path: readonly string[]): string {
  return [prefix, ...path].join("__").toUpperCase();
}

// --- internal ---

function strayVariables(
  table: Table,
  { env, prefix }: { env: Record<string, string | undefined>; prefix: string },
): string[] {
  const known = new Set(keysOf(table, prefix).map((key) => key.env));
  return Object.keys(env).filter((name) => name.startsWith(`${prefix}__`) && !known.has(name));
}

function isField(entry: Field<unknown> | Table): entry is Field<unknown> {
  return typeof entry["parse"] === "function";
}

function readToml(source: string, toml: string): Record<string, unknown> {
  try {
    return snakeTables(parseToml(toml));
  } catch (error) {
    throw new ConfigError(source, [{ key: "(file)", message: `is not TOML: ${tomlFault(error)}` }]);
  }
}

/** Of a configuration file: keys in snake_case. A table that is written in both forms is one: `[proxy_worker]` and `[proxy-worker.port-proxy]`. */
export function snakeTables(table: Record<string, unknown>): Record<string, unknown> {
  return Object.entries(table)
    .map(([key, value]) => ({ [key.replaceAll("-", "_")]: isTable(value) ? snakeTables(value) : snakeKeys(value) }))
    .reduce<Record<string, unknown>>(merge, {});
}

function merge(one: Record<string, unknown>, other: Record<string, unknown>): Record<string, unknown> {
  return Object.entries(other).reduce((all, [key, value]) => {
    const there = all[key];
    return { ...all, [key]: isTable(there) && isTable(value) ? merge(there, value) : value };
  }, one);
}

/** A date of TOML is an object too. */
function isTable(value: unknown): value is Record<string, unknown> {
  return isRecord(value) && !(value instanceof Date);
}

/** The library's message quotes the lines around the fault, which may hold a secret; only its first line and place are told. */
function tomlFault(error: unknown): string {
  const place = error instanceof TomlError ? ` (line ${error.line}, column ${error.column})` : "";
  return `${reason(error).split("\n", 1)[0] ?? ""}${place}`;
}

/** A key with the name of its variable, and what each of them says. */
interface Given {
  key: string;
  env: string;
  field: Field<unknown>;
  fromFile: unknown;
  fromEnv: string | undefined;
}

function readKey({ key, env, field, fromFile, fromEnv }: Given, faults: Fault[]): unknown {
  const raw = fromEnv ?? fromFile;
  if (raw === undefined) return field.fallback;
  const value = field.parse(raw);
  if (value !== undefined) return value;
  const shown = field.secret ? "[secret]" : JSON.stringify(raw);
  const origin = fromEnv === undefined ? "" : ` (from ${env})`;
  faults.push({ key, message: `${shown}${origin} was given; wanted ${field.wanted}` });
  return field.fallback;
}

function valueAt(root: Record<string, unknown>, key: string): unknown {
  return key.split(".").reduce<unknown>((at, name) => (isRecord(at) ? at[name] : undefined), root);
}

function put(root: Record<string, unknown>, key: string, value: unknown): void {
  const path = key.split(".");
  const last = path.pop() ?? key;
  let at = root;
  for (const name of path) {
    const next = at[name];
    at = isRecord(next) ? next : (at[name] = {});
  }
  at[last] = value;
}

function leaves(value: Record<string, unknown>, path: string[] = []): string[] {
  return Object.entries(value).flatMap(([name, inner]) => {
    // As TOML writes it: [logging.pkg-ns] of the original has the keys "" and "ai.backend".
    const here = [...path, /^\w+$/.test(name) ? name : JSON.stringify(name)];
    return isTable(inner) ? leaves(inner, here) : [here.join(".")];
  });
}

/** A table given for one key (`addr = { host, port }`) is read as a whole. */
function isRead(key: string, seen: Set<string>): boolean {
  for (let end = key.length; end > 0; end = key.lastIndexOf(".", end - 1)) {
    if (seen.has(key.slice(0, end))) return true;
  }
  return false;
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
