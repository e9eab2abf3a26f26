/** Request targets of Bun's `Request.url`, which is no URL when the client sent an odd or no `Host`. */

/** Path and query as they stand in `Request.url`; "/" when there are none. */
export function pathAndQuery(url: string): string {
  // Without a usable Host (HTTP/1.0, `Host: [`) Bun gives the bare target or an unparsable URL: never parse it.
  if (url.startsWith("/")) return url;
  const authority = url.indexOf("//");
  const start = authority === -1 ? -1 : url.indexOf("/", authority + 2);
  return start === -1 ? "/" : url.slice(start);
}

/** The path alone. */
export function pathOf(url: string): string {
  return pathAndQuery(url).split("?", 1)[0] ?? "/";
}

/** A `Host` that names one host: RFC 9110 §7.2, without userinfo or lists. */
export function isHost(host: string): boolean {
  return /^(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(:\d{1,5})?$/i.test(host);
}

/**
 * A target as RFC 9112 §3.2 has it, without a fragment, or with bytes above 127, which are the app's to judge. With a Host that is no URL's, Bun
 * hands over what came, and a character that is cut to one byte on its way to an app could be the end of a line.
 */
export function isTarget(target: string): boolean {
  return /^[\x21\x22\x24-\x7e\x80-\xff]+$/.test(target);
}
