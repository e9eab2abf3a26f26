/** Where a person may be sent after being let in: a path of the circuit, nothing else. */

/** Bytes, as sent. */
const MAX_LENGTH = 2048;

/** RFC 3986 §3.1. */
const SCHEME = /^[a-z][a-z0-9+.-]*:/i;

/**
 * The path to redirect to, or null when the wish could lead elsewhere. What starts with no `/` (`lab`, `?x=1`) is taken from
 * the root, as the original does, unless it names a scheme. Browsers read `//host`, `/\host` and `/<tab>/host` as other
 * origins: no second `/` at the start, no backslash or control character anywhere.
 */
export function redirectPath(wanted: string): string | null {
  if (wanted === "") return "/";
  if (wanted.startsWith("//") || /^\s|[\\\u0000-\u001f\u007f]/.test(wanted) || SCHEME.test(wanted)) return null;
  if (!wanted.isWellFormed()) return null;
  // A header line holds ASCII alone; what a browser would encode in its address bar is encoded here.
  const path = (wanted.startsWith("/") ? wanted : `/${wanted}`).replace(/[^\x21-\x7e]/gu, encodeURIComponent);
  return path.length > MAX_LENGTH ? null : path;
}
