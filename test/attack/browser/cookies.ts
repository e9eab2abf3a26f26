/** What a page or server of one app does to the cookies of its site: all that would forge, read or push out another app's permit. */

/** Lines that would put a cookie in a permit's place, or take it away. `parent`: the domain that both apps share. */
export function forgeries(permit: string, parent: string): string[] {
  return [
    `${permit}=forged; path=/`,
    `${permit}=forged; path=/deep`,
    `${permit}=forged; path=/; secure`,
    `${permit}=forged; path=/deep; secure; priority=high`,
    `${permit}=forged; path=/; domain=${parent}`,
    `${permit}=forged; path=/deep; domain=.${parent}`,
    `${permit}=; path=/; max-age=0`,
    `${permit}=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT`,
    `${permit}=; path=/; domain=${parent}; max-age=0`,
    `=${permit}=forged; path=/`,
    `${permit}; path=/`,
    ` ${permit} = forged; path=/`,
    `appproxy_permit=forged; path=/`,
    `__Host-${permit.replace(/^__Host-/, "")}=forged; path=/; secure`,
  ];
}

/** A page sets one, and tries the newer way. */
export const SET_COOKIES = `async (line, permit) => {
  document.cookie = line;
  try { await cookieStore.set({ name: permit, value: "forged", path: "/" }); } catch {}
  try { await cookieStore.delete(permit); } catch {}
}`;

/** All that a page can read of them. */
export const READ_COOKIES = `async () => [document.cookie, JSON.stringify(await cookieStore.getAll())]`;

/** So many cookies that others are pushed out of the jar: Chromium keeps 180 of a site. */
export const OVERFLOW = `(count, more) => {
  for (let n = 0; n < count; n++) document.cookie = "filler" + n + "=x; path=/" + more;
}`;

/** More than any server takes in a request's head. */
export const BOMB = `(more) => {
  for (let n = 0; n < 30; n++) document.cookie = "bomb" + n + "=" + "x".repeat(4000) + "; path=/" + more;
}`;
