/** Where a person may be sent after being let in: a path of the circuit, nothing else. */

/** Bytes, as sent. */
const MAX_LENGTH = 2048;

/**
 * The path to redirect to, or null when the wish could lead elsewhere: it must start with a single `/`
 * and hold no backslash or control character (browsers read `//host`, `/\host` and `/<tab>/host` as other origins).
 */
export function redirectPath(wanted: string): string | null {
  if (wanted === "") return "/";
  if (!wanted.startsWith("/") || wanted.startsWith("//") || /[\\\u0000-\u001f\u007f]/.test(wanted)) return null;
  if (!wanted.isWellFormed()) return null;
  // A header line holds ASCII alone; what a browser would encode in its address bar is encoded here.
  const path = wanted.replace(/[^\x21-\x7e]/gu, encodeURIComponent);
  return path.length > MAX_LENGTH ? null : path;
}
