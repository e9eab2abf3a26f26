/** A ticket that goes on to a tab of its own, because a frame of another site keeps no cookie: it stays a single one. */
import { describe, expect, test } from "bun:test";
import { Failure } from "../../../shared/failure.ts";
import { createMemoryLive } from "../../../shared/live/memory.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { createBearers } from "../../../worker/access/bearer.ts";
import { createSingleUse, MOST_OF_HOLDER } from "../../../worker/access/single-use.ts";
import { enter, ENTER_PATH } from "../../../worker/access/enter.ts";
import { permitCookieName } from "../../../worker/access/permit-cookie.ts";
import { createPermitJar } from "../../../worker/access/permit-jar.ts";
import { PermitAuthority } from "../../../worker/access/permit.ts";
import { CIRCUIT, entry, head, newTable, USER } from "../../support/values.ts";

const START = 1_800_000_000;
const FRAME: [string, string][] = [
  ["Sec-Fetch-Dest", "iframe"],
  ["Sec-Fetch-Site", "cross-site"],
];

/** A worker whose time is set by hand, and a ticket that it has just made. */
function worker() {
  let at = START;
  const now = () => at * 1000;
  const permits = new PermitAuthority({ secret: "a-permit-secret-0123456789", previous_secrets: [], digest_mod: "sha256" }); // prettier-ignore
  const rules = { secure: false, sameSite: "lax" } as const;
  const settings = {
    ...rules,
    permits,
    jar: createPermitJar({ permits, table: newTable(), cookie: rules, complete: () => true, now }),
    bearers: createBearers("unused", now),
    acceptLegacy: false,
    own: () => ({ origin: "http://apps.example:10205", lists: () => false }),
    lifetime: 43_200,
    now,
  };
  const singleUse = createSingleUse(createMemoryLive(now), silentLog(), now);
  const ask = (ticket: string, headers: [string, string][]) =>
    enter(entry(), head({ target: `${ENTER_PATH}?t=${ticket}`, headers: [["Host", "apps.example:10205"], ...headers] }), settings, singleUse); // prettier-ignore
  return {
    /** As often as a node remembers of a person; what follows is refused. */
    exhaust: () =>
      Promise.all(Array.from({ length: MOST_OF_HOLDER }, (_, one) => singleUse.consume(String(one), USER, 600_000))),
    cookie: `${permitCookieName(CIRCUIT, false)}=${permits.issue(USER, CIRCUIT, START, 3600)}`,
    ticket: permits.ticket({ uid: USER, cid: CIRCUIT, jti: "one", path: "/lab" }, START),
    wait: (seconds: number) => void (at += seconds),
    /** The status of a navigation with this ticket. */
    open: (ticket: string, headers: [string, string][] = []) =>
      ask(ticket, headers).then(
        ({ status }) => status,
        (error: unknown) => (error instanceof Failure ? error.httpStatus : Promise.reject(error)),
      ),
    /** The ticket of the link that a frame of another site offers; null when it offers none. */
    framed: (ticket: string) =>
      ask(ticket, FRAME).then(
        () => null,
        (error: unknown) =>
          error instanceof Failure
            ? (error.detail.tab?.replace(`${ENTER_PATH}?t=`, "") ?? null)
            : Promise.reject(error),
      ),
  };
}

describe("a ticket for a tab", () => {
  test("is good for ten minutes, and once", async () => {
    const { ticket, wait, open, framed } = worker();
    const tab = await framed(ticket);
    wait(599);
    expect([await open(tab ?? ""), await open(tab ?? ""), await open(ticket)]).toEqual([303, 401, 401]);
  });

  test("lets nobody in whose ticket was used, however late it was made and used", async () => {
    const { ticket, wait, open, framed } = worker();
    expect(await open(ticket)).toBe(303);
    wait(59);
    const tab = await framed(ticket);
    wait(599);
    expect([tab, await open(tab ?? "")]).toEqual([expect.any(String), 401]);
  });

  test("lives no longer by being asked for again in a frame", async () => {
    const { ticket, wait, open, framed } = worker();
    const tab = await framed(ticket);
    wait(599);
    const again = await framed(tab ?? "");
    wait(1);
    expect([again, await framed(again ?? ""), await open(again ?? "")]).toEqual([expect.any(String), null, 401]);
  });
});

test("a person who has used thousands of tickets is let in by a permit alone", async () => {
  const { ticket, open, exhaust, cookie } = worker();
  await exhaust();
  expect([await open(ticket), await open(ticket, [["Cookie", cookie]])]).toEqual([429, 303]);
});
