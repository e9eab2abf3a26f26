/**
 * The kinds of configuration values. A field knows its default, what it wants in words,
 * and how to read a TOML value or the text of an environment variable.
 */
import { homeUrl } from "../http/home.ts";
import { isRecord, type Address } from "../values.ts";

export interface Field<T> {
  readonly wanted: string;
  readonly description: string;
  readonly fallback: T;
  readonly secret: boolean;
  /** Gives the value, or undefined when `raw` is not one. */
  readonly parse: (raw: unknown) => T | undefined;
}

export type Span = [low: number, high: number];

/** Each is tried with every token that is not genuine, and signs every event. */
export const MOST_PREVIOUS = 8;

/** Text of any kind. */
export function text(fallback: string, description: string): Field<string> {
  return field("text", description, fallback, (raw) => (typeof raw === "string" ? raw : undefined));
}

/** A text that is never shown. */
export function secret(description: string): Field<string> {
  return { ...text("", description), wanted: "a secret of at least 16 characters", secret: true };
}

export function oneOf<const T extends string>(names: readonly T[], fallback: T, description: string): Field<T> {
  return field(`one of ${names.join(", ")}`, description, fallback, (raw) =>
    typeof raw === "string" ? names.find((name) => name === raw.trim().toLowerCase()) : undefined,
  );
}

export function flag(fallback: boolean, description: string): Field<boolean> {
  return field("true or false", description, fallback, (raw) => {
    if (typeof raw === "boolean") return raw;
    if (typeof raw !== "string") return undefined;
    if (/^(true|1|yes|on)$/i.test(raw)) return true;
    return /^(false|0|no|off)$/i.test(raw) ? false : undefined;
  });
}

/** A number in a range; `unit` goes into the message ("seconds"). */
export function number(fallback: number, [low, high]: Span, unit: string, description: string): Field<number> {
  return field(`a number of ${unit} from ${low} to ${high}`, description, fallback, (raw) => {
    const value = asNumber(raw);
    return typeof value === "number" && value >= low && value <= high ? value : undefined;
  });
}

/** A whole number in a range; `unit` goes into the message ("circuits"). */
export function wholeNumber(fallback: number, [low, high]: Span, unit: string, description: string): Field<number> {
  return field(`a whole number of ${unit} from ${low} to ${high}`, description, fallback, (raw) =>
    wholeIn(raw, [low, high]),
  );
}

/** A whole number in a range, or `"auto"`. */
export function countOrAuto(fallback: number, [low, high]: Span, description: string): Field<number | "auto"> {
  return field<number | "auto">(`a whole number from ${low} to ${high}, or "auto"`, description, fallback, (raw) => {
    if (typeof raw === "string" && raw.trim().toLowerCase() === "auto") return "auto";
    return wholeIn(raw, [low, high]);
  });
}

/** `"host:port"`, `"[v6]:port"` or `{ host, port }`. */
export function address(fallback: string, description: string): Field<Address> {
  return field('"host:port" or { host, port }', description, mustBeAddress(fallback), parseAddress);
}

/** As `address`, but may be left out. */
export function optionalAddress(description: string): Field<Address | null> {
  return field<Address | null>('"host:port" or { host, port }', description, null, parseAddress);
}

/** Several addresses: a comma-separated text or an array. An empty one is none, as in the original. */
export function optionalAddresses(description: string): Field<Address[] | null> {
  return field<Address[] | null>('"host:port,host:port" or [{ host, port }, …]', description, null, (raw) => {
    const all = asList(raw)?.map(parseAddress);
    if (all === undefined || all.includes(undefined)) return undefined;
    return all.length === 0 ? null : all.filter((one) => one !== undefined);
  });
}

/** Several texts: a comma-separated text or an array. `valid` judges each entry. */
export function texts(
  fallback: readonly string[],
  wanted: string,
  description: string,
  valid: (entry: string) => boolean = () => true,
): Field<string[]> {
  return field(wanted, description, [...fallback], (raw) => {
    const all = asList(raw)?.filter((entry) => typeof entry === "string");
    return all !== undefined && all.length === asList(raw)?.length && all.every(valid) ? all : undefined;
  });
}

/** Secrets that were the current one before. Never shown. */
export function previousSecrets(description: string): Field<string[]> {
  const list = texts([], `a list of at most ${MOST_PREVIOUS} secrets`, description);
  const parse = (raw: unknown) => {
    const all = list.parse(raw);
    return all !== undefined && all.length <= MOST_PREVIOUS ? all : undefined;
  };
  return { ...list, parse, secret: true };
}

/** Several of a fixed set of names. */
export function someOf<const T extends string>(names: readonly T[], description: string): Field<T[]> {
  return field(`a list of ${names.join(", ")}`, description, [...names], (raw) => {
    const all = asList(raw)?.map((entry) => names.find((name) => name === entry));
    if (all === undefined || all.length === 0 || all.includes(undefined)) return undefined;
    return all.filter((name) => name !== undefined);
  });
}

/** First and last port of a range, both included: `[10205, 10300]` or `"10205-10300"`. */
export function optionalPorts(fallback: Span | null, description: string): Field<Span | null> {
  return field<Span | null>("[first, last] ports from 1 to 65535", description, fallback, (raw) => {
    const ends: unknown = typeof raw === "string" ? raw.split(/[-,]/) : raw;
    if (!Array.isArray(ends) || ends.length !== 2) return undefined;
    const [low, high] = ends.map(asNumber);
    return isPort(low) && isPort(high) && low <= high ? [low, high] : undefined;
  });
}

/** A list of `{ key, value }`. */
export function filters(description: string): Field<{ key: string; value: string }[]> {
  return field("a list of { key, value }", description, [], (raw) => {
    const list: unknown = typeof raw === "string" ? parseJson(raw) : raw;
    if (!Array.isArray(list)) return undefined;
    const all = list.map((entry: unknown) => (isRecord(entry) ? entry : {}));
    const good = all.flatMap(({ key, value }) =>
      typeof key === "string" && typeof value === "string" ? [{ key, value }] : [],
    );
    return good.length === list.length ? good : undefined;
  });
}

export function optionalPort(description: string): Field<number | null> {
  return field<number | null>("a port from 1 to 65535", description, null, (raw) => {
    const value = asNumber(raw);
    return isPort(value) ? value : undefined;
  });
}

/** A text that may be left out. An empty one is left out, as in the original: `advertised_host = ""`. */
export function optionalText(description: string): Field<string | null> {
  return field<string | null>("text", description, null, (raw) => (typeof raw === "string" ? raw || null : undefined));
}

/** An http(s) address that may stand in a page, or nothing. */
export function optionalUrl(description: string): Field<string | null> {
  return field<string | null>("an http or https URL without a password", description, null, (raw) =>
    typeof raw !== "string" ? undefined : raw === "" ? null : homeUrl(raw),
  );
}

/** A parent domain, always with its leading dot. */
export function optionalDomain(description: string): Field<string | null> {
  return field<string | null>("a domain, such as .apps.example.com", description, null, (raw) => {
    if (typeof raw !== "string" || !/^\.?[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(raw)) return undefined;
    return raw.startsWith(".") ? raw : `.${raw}`;
  });
}

// --- internal ---

function wholeIn(raw: unknown, [low, high]: Span): number | undefined {
  const value = asNumber(raw);
  return typeof value === "number" && Number.isInteger(value) && value >= low && value <= high ? value : undefined;
}

function field<T>(wanted: string, description: string, fallback: T, parse: (raw: unknown) => T | undefined): Field<T> {
  return { wanted, description, fallback, parse, secret: false };
}

function parseAddress(raw: unknown): Address | undefined {
  if (isRecord(raw)) {
    const { host } = raw;
    const port = asNumber(raw["port"]);
    return typeof host === "string" && host !== "" && isPortOrZero(port) ? { host, port } : undefined;
  }
  if (typeof raw !== "string") return undefined;
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(raw.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && isPortOrZero(port) ? { host, port } : undefined;
}

function mustBeAddress(raw: string): Address {
  const parsed = parseAddress(raw);
  if (parsed === undefined) throw new Error(`default address "${raw}" is not host:port`);
  return parsed;
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65535;
}

/** Port 0 lets the system choose; tests and the quickstart use it. */
function isPortOrZero(value: unknown): value is number {
  return value === 0 || isPort(value);
}

/** The original takes a number in quotes wherever it wants one. */
function asNumber(raw: unknown): unknown {
  return typeof raw === "string" && raw.trim() !== "" ? Number(raw) : raw;
}

function asList(raw: unknown): unknown[] | undefined {
  if (Array.isArray(raw)) return raw;
  if (typeof raw !== "string") return undefined;
  return raw
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

function parseJson(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return undefined; // the caller reports what was wanted
  }
}
