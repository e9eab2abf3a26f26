/** Where a person may be sent after being let in: a path of the circuit, nothing else. */

const MAX_LENGTH = 2048;

/**
 * The path to redirect to, or null when the wish could lead elsewhere: it must start with a single `/`
 * and hold no backslash or control character (browsers read `//host`, `/\host` and `/<tab>/host` as other origins).
 */
export function redirectPath(wanted: string): string | null {
  if (wanted === "") return "/";
  if (wanted.length > MAX_LENGTH || !wanted.startsWith("/") || wanted.startsWith("//")) return null;
  return /[\\\u0000-\u001f\u007f]/.test(wanted) ? null : wanted;
}
