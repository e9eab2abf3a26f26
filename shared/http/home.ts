/** Where a person opens apps: the platform's address, to which our pages lead back. Nothing but http(s) may stand in a link. */

/** A configured address as it is put into pages; undefined for anything but an http(s) URL without a password. */
export function homeUrl(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isPlain = (url.protocol === "http:" || url.protocol === "https:") && url.username === "" && url.password === "";
  return isPlain ? url.href : undefined;
}

/** The origin of the page that a person came from, by `Origin` or else `Referer`; null when they tell none. */
export function originOf(origin: string | null, referer: string | null): string | null {
  const home = homeUrl(origin ?? "") ?? homeUrl(referer ?? "");
  return home === undefined ? null : new URL(home).origin;
}
