/** JSON that no library would write: numbers that are too large, names that come twice, whatever a text can hold. */
import { isRecord } from "../../../shared/values.ts";

/** A value that is written as it stands here. */
export class Verbatim {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** As a reader of JSON takes it; undefined where there is nothing to take. */
  get value(): unknown {
    try {
      return JSON.parse(this.text);
    } catch {
      return undefined; // no JSON
    }
  }
}

export function jsonText(value: unknown): string {
  if (value instanceof Verbatim) return value.text;
  if (Array.isArray(value)) return `[${value.map(jsonText).join()}]`;
  return isRecord(value) ? `{${members(value).join()}}` : JSON.stringify(value);
}

/** An object's own text with something more in it. */
export function withMembers(value: Record<string, unknown>, more: readonly string[]): Verbatim {
  return new Verbatim(`{${[...members(value), ...more].join()}}`);
}

/** So many levels of lists, or of objects. */
export function nested(levels: number, of: "lists" | "objects"): Verbatim {
  const [open, close] = of === "lists" ? ["[", "]"] : ['{"a":', "}"];
  return new Verbatim(`${open.repeat(levels)}1${close.repeat(levels)}`);
}

// --- internal ---

function members(value: Record<string, unknown>): string[] {
  return Object.entries(value)
    .filter(([, one]) => one !== undefined)
    .map(([name, one]) => `${JSON.stringify(name)}:${jsonText(one)}`);
}
