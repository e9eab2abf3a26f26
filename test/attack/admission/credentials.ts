/**
 * What somebody may bring to a circuit's door, good, stale, stolen or forged; and what it is worth by security 2, 3 and 9.
 * A cookie is worth nothing where a token is wanted, and the other way round.
 */
import { API_SECRET } from "../../support/manager.ts";
import { USER } from "../../support/values.ts";
import { bearerCredentials } from "./bearers.ts";
import { cookieCredentials } from "./cookies.ts";
import type { Credential } from "./door.ts";

const NOTHING = { permit: "none", token: "none" } as const;

const OTHERS: Credential[] = [
  { ...NOTHING, name: "nothing", lines: () => [] },
  { ...NOTHING, name: "the secret of the API", lines: () => [["X-BackendAI-Token", API_SECRET]] },
  { ...NOTHING, name: "the person's id", lines: () => [["X-User-Id", USER]] },
  {
    ...NOTHING,
    name: "a trusted proxy's word",
    lines: () => [
      ["X-Forwarded-For", "127.0.0.1"],
      ["X-Forwarded-User", USER],
      ["X-Forwarded-Host", "127.0.0.1"],
      ["Forwarded", "for=127.0.0.1;host=localhost"],
      ["X-Original-URL", "/_appproxy/enter"],
      ["X-HTTP-Method-Override", "OPTIONS"],
    ],
  },
];

export const CREDENTIALS: Credential[] = [...OTHERS, ...cookieCredentials(), ...bearerCredentials()];

/** What the circuit's person sends. */
export function named(name: string): Credential {
  const found = CREDENTIALS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no credential "${name}"`);
  return found;
}
