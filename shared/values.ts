/** Values that every room knows: records that came from outside, addresses, times. */

/** Where something listens. An IPv6 host has no brackets. */
export interface Address {
  host: string;
  port: number;
}

/** The text form of an address. */
export function hostPort({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Milliseconds as the ISO 8601 text of the API. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
