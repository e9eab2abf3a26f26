/** Keys of peers and operators: older ones write them with hyphens. */
import { isRecord } from "../values.ts";

/**
 * The same value with `snake_case` keys everywhere but below the keys in `untouched`, which belong to somebody else. Names
 * that every object has (`constructor`, `__proto__`) are nobody's fields, and libraries trip over them: they are left out.
 */
export function snakeKeys(value: unknown, untouched: ReadonlySet<string> = NONE): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => snakeKeys(one, untouched));
  if (!isRecord(value) || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key.replaceAll("-", "_"), inner] as const)
      .filter(([key]) => !isEverywhere(key))
      .map(([key, inner]) => [key, untouched.has(key) ? inner : snakeKeys(inner, untouched)]),
  );
}

/** Whether every object has a property of that name. */
export function isEverywhere(name: string): boolean {
  return name in Object.prototype;
}

/** What users put into a circuit is theirs. */
export const USERS_OWN: ReadonlySet<string> = new Set(["envs"]);

// --- internal ---

const NONE: ReadonlySet<string> = new Set();
