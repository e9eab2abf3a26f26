/**
 * Secrets in configuration files, replaced where they stand: all else, comments too, stays as it was. Secrets that were the same
 * stay the same, in all files, and a worker's own follow those that they are made of. Only plain lines can be edited; what comes
 * out is read again and compared, so that nothing else is ever written.
 */
import { chmodSync, chownSync, realpathSync, renameSync, statSync, writeFileSync } from "node:fs";
import { parse } from "smol-toml";
import { StartError } from "../../../shared/runtime/process.ts";
import { newSecret } from "../../../shared/runtime/secrets.ts";
import { authorityOf, workerJwtSecret, workerSecret } from "../../../shared/protocol/worker-secret.ts";
import { MOST_PREVIOUS } from "../../../shared/config/fields.ts";
import { snakeTables } from "../../../shared/config/load.ts";
import { isRecord } from "../../../shared/values.ts";

export interface File {
  path: string;
  text: string;
}

/** The files with new secrets, and the present ones before the previous ones. Throws StartError for what can't be done; nothing is written. */
export function rotate(files: readonly File[]): File[] {
  const found = files.flatMap((file) => secretsIn(file).map((one) => ({ ...one, file })));
  if (found.length === 0) throw new StartError(`${pathsOf(files)}: no secrets there`);
  for (const { file, key } of found)
    if (previousIn(file, key).length >= MOST_PREVIOUS)
      throw new StartError(`${file.path}: ${previousOf(key)}: has ${MOST_PREVIOUS} already; take those away that nobody needs (--finish)`); // prettier-ignore
  const replaced = replacements(found);
  return files.map((file) => {
    const mine = found.filter((one) => one.file === file);
    const edits = mine.map(({ key, value }) => ({
      key,
      value: replaced(key, value, file),
      previous: [value, ...previousIn(file, key)],
    }));
    return edited(file, edits);
  });
}

/** The files without previous secrets, but those of the kept lists, such as `previous_jwt_secrets`. */
export function finish(files: readonly File[], kept: readonly string[] = []): File[] {
  const unknown = kept.find((list) => !KEYS.some((key) => listOf(key) === list));
  if (unknown !== undefined)
    throw new StartError(`--keep: ${unknown} was given; wanted ${KEYS.map(listOf).join(", ")}`);
  return files.map((file) => {
    const ending = secretsIn(file).filter(({ key }) => !kept.includes(listOf(key)));
    return edited(file, ending.map(({ key, value }) => ({ key, value, previous: [] }))); // prettier-ignore
  });
}

/** Writes all, or throws and changes none: each beside the old one, with its owner and rights, and then in its place. */
export function writeAll(files: readonly File[]): void {
  const written = files.map(({ path, text }) => {
    const old = realpathSync(path);
    const { mode, uid, gid } = statSync(old);
    const fresh = `${old}.new`;
    writeFileSync(fresh, text, { mode: 0o600, flush: true });
    chownSync(fresh, uid, gid);
    chmodSync(fresh, mode & 0o777);
    return { old, fresh };
  });
  for (const { old, fresh } of written) renameSync(fresh, old);
}

// --- internal ---

interface Found {
  /** Such as `secrets.api_secret`. */
  key: string;
  value: string;
}

interface Edit extends Found {
  previous: string[];
}

/** Not `permit_hash.secret`: nodes do not tell which they know, and permits live for hours (docs/secrets.md). */
const KEYS = ["secrets.api_secret", "secrets.jwt_secret", "secrets.worker_secret"];

function secretsIn(file: File): Found[] {
  return KEYS.flatMap((key) => {
    const value = valueAt(file, key);
    return typeof value === "string" && value !== "" ? [{ key, value }] : [];
  });
}

function previousOf(key: string): string {
  return key.replace(/\.(\w+)$/, ".previous_$1s");
}

function listOf(key: string): string {
  return previousOf(key).split(".")[1] ?? "";
}

function previousIn(file: File, key: string): string[] {
  const list = valueAt(file, previousOf(key));
  return Array.isArray(list) ? list.map(String) : [];
}

/** What comes in the place of a secret: for equal ones the same, for a worker's own what is made of the new one. */
function replacements(found: readonly (Found & { file: File })[]) {
  const fresh = new Map<string, string>();
  const made = new Map<string, string>();
  const authorities = new Set(found.flatMap(({ value }) => authorityOf(value) ?? []));
  for (const { key, value } of found) {
    if (authorityOf(value) !== null || fresh.has(value)) continue;
    const next = newSecret();
    fresh.set(value, next);
    for (const authority of authorities) {
      if (key === "secrets.worker_secret") made.set(workerSecret(value, authority), workerSecret(next, authority));
      if (key === "secrets.jwt_secret") made.set(workerJwtSecret(value, authority), workerJwtSecret(next, authority));
    }
  }
  return (key: string, value: string, file: File): string => {
    const own = made.get(value) ?? (authorityOf(value) === null ? fresh.get(value) : undefined);
    if (own !== undefined) return own;
    throw new StartError(`${file.path}: ${key}: is a worker's own; wanted the coordinator's file with it, as it is made of what stands there`); // prettier-ignore
  };
}

/** One plain line: a bare key, and a text or a list of texts in one line. */
const LINE = /^(\s*)([\w-]+)(\s*=\s*)("[^"\\]*"|'[^']*'|\[[^\]]*\])(\s*(?:#.*)?)$/;
const HEADER = /^\s*\[\s*([\w-]+)\s*\]\s*(?:#.*)?$/;
const ANY_HEADER = /^\s*\[/;

function edited(file: File, edits: readonly Edit[]): File {
  let section = "";
  const lines = file.text.split("\n").flatMap((line) => {
    if (ANY_HEADER.test(line)) section = (HEADER.exec(line)?.[1] ?? "").replaceAll("-", "_");
    const [, indent = "", name = "", equals = "", , rest = ""] = LINE.exec(line) ?? [];
    const key = `${section}.${name.replaceAll("-", "_")}`;
    if (edits.some((edit) => previousOf(edit.key) === key)) return [];
    const edit = edits.find((one) => one.key === key);
    if (edit === undefined) return [line];
    const before = edit.previous.length === 0 ? [] : [`${indent}${listOf(key)} = [${edit.previous.map((one) => JSON.stringify(one)).join(", ")}]`]; // prettier-ignore
    return [`${indent}${name}${equals}${JSON.stringify(edit.value)}${rest}`, ...before];
  });
  const text = lines.join("\n");
  if (Bun.deepEquals(read(text), wanted(file, edits))) return { path: file.path, text };
  throw new StartError(`${file.path}: its secrets can't be edited; wanted each in a line of its own, such as api_secret = "…" below [secrets]`); // prettier-ignore
}

function wanted(file: File, edits: readonly Edit[]): Record<string, unknown> {
  const all = read(file.text);
  for (const { key, value, previous } of edits) {
    const [section = "", name = ""] = key.split(".");
    const table = all[section];
    if (!isRecord(table)) continue;
    const before = listOf(key);
    delete table[before];
    Object.assign(table, { [name]: value, ...(previous.length === 0 ? {} : { [before]: previous }) });
  }
  return all;
}

function read(text: string): Record<string, unknown> {
  try {
    return snakeTables(parse(text));
  } catch {
    // The library's message shows lines around the fault, and so perhaps a secret.
    throw new StartError("a file is not TOML; --check of its service says where");
  }
}

function valueAt(file: File, key: string): unknown {
  return key.split(".").reduce<unknown>((at, name) => (isRecord(at) ? at[name] : undefined), read(file.text));
}

function pathsOf(files: readonly File[]): string {
  return files.map(({ path }) => path).join(", ");
}
