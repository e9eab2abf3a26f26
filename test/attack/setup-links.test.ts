/**
 * Links that let people in (security 4), through a coordinator, two nodes of a worker and a Redis: used again, late, all at once,
 * tampered with, elsewhere, after the end, while Redis is away; and where they lead. Every answer on the way is private.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { atEnd } from "../support/at-end.ts";
import { combinations } from "../support/combinations.ts";
import { freshAddress } from "../support/from-address.ts";
import { until } from "../support/until.ts";
import { changed, reclaimed } from "./admission/forgery.ts";
import { careless, open, PRIVATE, request, ticketOf, visit, type Answer, type Way } from "./setup-links/person.ts";
import { linksIn, stopsOf, WAYS } from "./setup-links/redirects.ts";
import { startSite, type Node, type Site } from "./setup-links/site.ts";
import { TARGETS } from "./setup-links/targets.ts";
import { isFull } from "./options.ts";

const SHAPES = combinations({ engine: ["sockets", "serve"], frontend: ["port", "wildcard"] } as const);
setDefaultTimeout(300_000);
/** How many come at the same moment. */
const CROWD = isFull ? 1000 : 200;

const range = (count: number) => Array.from({ length: count }, (_, at) => at);
const count = (answers: (Answer | null)[], status: number) => answers.filter((one) => one?.status === status).length;
/** How many had which status; `refused` is who was not answered at all. */
const tally = (answers: (Answer | null)[]) =>
  Object.fromEntries(Map.groupBy(answers, (one) => one?.status ?? "refused").entries().map(([key, those]) => [key, those.length])); // prettier-ignore
const permitIn = ({ cookies }: Answer) =>
  cookies.find((line) => line.startsWith("appproxy_permit_"))?.split(";")[0] ?? null;

describe.each(SHAPES)("$engine engine, $frontend frontend", (shape) => {
  let site: Site;
  beforeAll(async () => void (site = await startSite(shape)), 60_000);
  afterAll(() => site.stop());
  beforeEach(() => site.wait(0));
  afterEach(() => expect(careless()).toEqual([]));

  const nodeOf = (at: number): Node => site.nodes[at % 2] ?? site.nodes[0];

  /** What the app says to who has this permit. */
  async function page(ticket: string, permit: string | null, { node }: Way = {}): Promise<number | undefined> {
    const lines = permit === null ? "" : `Cookie: ${permit}\r\n`;
    const before = site.seen();
    const answer = await visit(site, `${new URL(ticket).origin}/api`, {
      lines,
      ...(node === undefined ? {} : { node }),
    });
    // Nothing but a 200 has been the app's.
    expect(site.seen() - before).toBe(answer?.status === 200 ? 1 : 0);
    return answer?.status;
  }

  /** Uses a ticket that is good, and sees that it is: once. */
  async function isGood(ticket: string, way: Way = {}): Promise<boolean> {
    const entered = await open(site, ticket, way);
    const permit = permitIn(entered);
    // A page stands between where a browser may still have what another's app has left.
    return (
      (entered.status === 303 || entered.status === 200) && permit !== null && (await page(ticket, permit, way)) === 200
    );
  }

  test("a link and its ticket are of no use to whoever comes second with them", async () => {
    const { link } = await request(site);
    const me = freshAddress();
    const ticket = await ticketOf(site, link, { from: me });
    expect(await isGood(ticket, { from: me })).toBe(true);
    for (const node of site.nodes)
      for (const from of [freshAddress(), freshAddress()]) {
        const [again, entered] = [await open(site, link, { from, node }), await open(site, ticket, { from, node })];
        expect([again.status, again.get("location"), again.cookies]).toEqual([401, null, []]);
        expect([entered.status, entered.get("location"), entered.cookies]).toEqual([401, null, []]);
      }
    // The first one's own, with a ticket of its own each time; the old one stays used.
    const second = await ticketOf(site, link, { from: me, node: site.nodes[1] });
    expect([await isGood(second, { from: me }), await isGood(second, { from: me }), await isGood(ticket, { from: me })]).toEqual([true, false, false]); // prettier-ignore
    expect(await page(ticket, null)).toBe(401);
  });

  test("a link is for a minute, a ticket too, the first client's link for ten, a permit for twelve hours", async () => {
    const [unused, used] = [await request(site), await request(site)];
    const me = freshAddress();
    const ticket = await ticketOf(site, used.link, { from: me });
    const late = await ticketOf(site, used.link, { from: me });
    site.wait(70);
    for (const node of site.nodes) {
      expect((await open(site, unused.link, { node, from: me })).status).toBe(401);
      expect(permitIn(await open(site, late, { node, from: me }))).toBeNull();
      expect((await open(site, used.link, { node })).status).toBe(401);
    }
    site.wait(590);
    expect((await open(site, used.link, { from: me })).status).toBe(302);
    for (const seconds of [620, 3000, 12 * 3600, 30 * 24 * 3600]) {
      site.wait(seconds);
      for (const node of site.nodes) expect((await open(site, used.link, { from: me, node })).status).toBe(401);
    }
    // None of it has used anything up.
    site.wait(0);
    expect((await open(site, unused.link)).status).toBe(302);
    const permit = permitIn(await open(site, ticket, { from: me }));
    expect(await page(ticket, permit)).toBe(200);
    site.wait(12 * 3600 + 60);
    expect(await page(ticket, permit)).toBe(401);
  });

  test(`of ${CROWD} who come at once with a link, at both nodes, one client is let in, as often as it comes`, async () => {
    const { link } = await request(site);
    const clients = range(CROWD / 2).map(() => freshAddress());
    const comers = site.nodes.flatMap((node) => clients.map((from) => ({ node, from })));
    const answers = await Promise.all(comers.map((way) => visit(site, link, way)));
    const winners = comers.filter((_, at) => answers[at]?.status === 302).map(({ from }) => from);
    expect([winners.length, new Set(winners).size, count(answers, 401)]).toEqual([2, 1, CROWD - 2]);
    expect(answers.filter((one) => one?.status !== 302 && (one?.get("location") ?? null) !== null)).toEqual([]);
  });

  test(`of ${CROWD} who come at once with a ticket, at both nodes, one is let in`, async () => {
    const before = site.seen();
    const ticket = await ticketOf(site, (await request(site)).link);
    const answers = await Promise.all(range(CROWD).map((at) => visit(site, ticket, { node: nodeOf(at) })));
    expect([count(answers, 303), count(answers, 401)]).toEqual([1, CROWD - 1]);
    expect(answers.filter((one) => one !== null && permitIn(one) !== null).length).toBe(1);
    expect(site.seen()).toBe(before);
  });

  test(`one client's ${CROWD} uses of its link at once give tickets that are good once each`, async () => {
    const { link } = await request(site);
    const from = freshAddress();
    const answers = await Promise.all(range(CROWD).map((at) => visit(site, link, { from, node: nodeOf(at) })));
    const tickets = answers.map((one) => one?.get("location") ?? "");
    expect(tally(answers)).toEqual({ 302: CROWD });
    expect(new Set(tickets).size).toBe(CROWD);
    const twice = await Promise.all(
      [...tickets, ...tickets].map((ticket, at) => visit(site, ticket, { node: nodeOf(at) })),
    );
    expect(tally(twice)).toEqual({ 303: CROWD, 401: CROWD });
  });

  test("a link of which any character is another one lets nobody in, and uses nothing up", async () => {
    const { link } = await request(site);
    const [base = "", token = ""] = link.split("token=");
    const forged = [
      ...range(token.length).map((at) => changed(token, at)),
      reclaimed(token, { exp: 9_999_999_999 }),
      reclaimed(token, { redirect: "//evil.example" }),
      reclaimed(token, { jti: crypto.randomUUID() }),
      token.slice(0, -4),
      `${token}.x`,
      `${token.split(".").slice(0, 2).join(".")}.`,
      token.toUpperCase(),
      ".",
      "",
    ];
    for (const one of forged) {
      const answer = await open(site, `${base}token=${one}`);
      expect([one, answer.status, answer.get("location"), answer.cookies]).toEqual([
        one,
        one === "" ? 400 : 401,
        null,
        [],
      ]);
    }
    for (const way of [
      base,
      `${base}token=x&token=${token}`,
      `${base}Token=${token}`,
      `${base.replace("?", "%3F")}token=${token}`,
    ]) {
      const answer = await open(site, way);
      expect([answer.status >= 400, answer.get("location")]).toEqual([true, null]);
    }
    expect(await isGood(await ticketOf(site, link))).toBe(true);
  });

  test("a ticket of which any character is another one lets nobody in, and uses nothing up", async () => {
    const ticket = await ticketOf(site, (await request(site)).link);
    const [base = "", text = ""] = ticket.split("t=");
    const forged = [
      ...range(text.length).map((at) => changed(text, at)),
      reclaimed(text, { exp: 9_999_999_999 }),
      reclaimed(text, { path: "//evil.example" }),
      reclaimed(text, { jti: crypto.randomUUID() }),
      reclaimed(text, { tab: true }),
      text.replace("t1", "v2"),
      text.slice(0, -1),
      `${text}A`,
      `${text}.x`,
      `${text}=`,
      ".",
      "",
    ];
    for (const one of forged) {
      const answer = await open(site, `${base}t=${one}`);
      expect([one, answer.status, answer.get("location"), answer.cookies]).toEqual([one, 401, null, []]);
    }
    for (const query of ["", `t=x&t=${text}`, `T=${text}`, `ticket=${text}`])
      expect((await open(site, `${base}${query}`)).status).toBe(401);
    expect(await isGood(ticket)).toBe(true);
  });

  test(`a ticket that another site's frame has shown is good once, in whichever of ${CROWD / 2} tabs`, async () => {
    const ticket = await ticketOf(site, (await request(site)).link);
    const lines = "Sec-Fetch-Dest: iframe\r\nSec-Fetch-Site: cross-site\r\nAccept: text/html\r\n";
    const asked = () => Promise.all(range(CROWD / 2).map((at) => visit(site, ticket, { lines, node: nodeOf(at) })));
    const tabsIn = (pages: (Answer | null)[]) =>
      pages.flatMap((one) => linksIn(one?.body ?? "").filter((href) => href.startsWith("/_appproxy/enter?t=")));
    const framed = await asked();
    expect([count(framed, 401), framed.filter((one) => one !== null && one.cookies.length > 0)]).toEqual([
      CROWD / 2,
      [],
    ]);
    const tabs = tabsIn(framed).map((href) => new URL(href, ticket).href);
    expect(tabs.length).toBe(CROWD / 2);
    const entered = await Promise.all([ticket, ...tabs].map((url, at) => visit(site, url, { node: nodeOf(at) })));
    expect([count(entered, 303), count(entered, 401)]).toEqual([1, CROWD / 2]);
    // Whoever shows it afterwards gets another one of the same use.
    for (const href of tabsIn(await asked()))
      expect((await open(site, new URL(href, ticket).href)).cookies).toEqual([]);
  });

  test("another circuit's ticket, and another worker's link and ticket, are of no use here", async () => {
    const [ours, another, theirs, theirsToo] = [
      await request(site),
      await request(site),
      await request(site, { domain: "theirs" }),
      await request(site, { domain: "theirs" }),
    ];
    const tickets = [await ticketOf(site, ours.link), await ticketOf(site, another.link)];
    const [stranger, me] = [{ node: site.stranger }, freshAddress()];
    const theirTicket = await ticketOf(site, theirs.link, stranger);
    const at = (place: string, ticket: string) =>
      `${new URL(place).origin}${ticket.slice(new URL(ticket).origin.length)}`;
    for (const node of site.nodes) {
      for (const foreign of [tickets[1] ?? "", theirTicket]) {
        const answer = await open(site, at(tickets[0] ?? "", foreign), { node });
        expect([answer.status, answer.get("location"), answer.cookies]).toEqual([401, null, []]);
      }
      // Nobody knows its circuit there.
      const links = [await open(site, theirs.link, { node }), await open(site, theirsToo.link, { node, from: me })];
      expect(links.map((link) => [link.status, link.get("location")])).toEqual([
        [401, null],
        [404, null],
      ]);
    }
    expect([
      await isGood(tickets[0] ?? ""),
      await isGood(tickets[1] ?? ""),
      await isGood(theirTicket, stranger),
    ]).toEqual([true, true, true]);
  });

  test("a circuit that has ended lets nobody in, by whatever was given out for it, nor does the next one in its place", async () => {
    const { circuit, link } = await request(site, { proxy: { subdomain: "place" } });
    const unused = await request(site);
    const me = freshAddress();
    const [ticket, spent] = [await ticketOf(site, link, { from: me }), await ticketOf(site, link, { from: me })];
    const permit = permitIn(await open(site, spent));
    expect(await page(ticket, permit)).toBe(200);
    for (const id of [unused.circuit, circuit]) await site.manager.api("DELETE", `/api/circuit/${id}`);
    const isOver = async (node: Node) => {
      const ways: Way[] = [
        { node, from: me },
        { node, from: me, lines: `Cookie: ${permit}\r\n` },
      ];
      const urls = [ticket, spent, link, unused.link, `${new URL(ticket).origin}/api`];
      const asked = combinations({ url: urls, way: ways }).map(({ url, way }) => visit(site, url, way));
      return (await Promise.all(asked)).every(
        (one) => one === null || (one.status >= 400 && permitIn(one) === null && one.get("location") === null),
      );
    };
    // Told in this order; the ticket must not be used up by looking.
    const app = `${new URL(ticket).origin}/api`;
    const lines = `Cookie: ${permit}\r\n`;
    const isGone = async (node: Node) => (await visit(site, app, { node, lines }))?.status !== 200;
    for (const node of site.nodes) await until(() => isGone(node), 30_000, "the node to know that they have ended");
    for (const node of site.nodes) expect(await isOver(node)).toBe(true);
    const place = shape.frontend === "port" ? { port: Number(new URL(ticket).port) } : { subdomain: "place" };
    const next = await request(site, { user: crypto.randomUUID(), proxy: place });
    const fresh = await ticketOf(site, next.link);
    expect(new URL(fresh).origin).toBe(new URL(ticket).origin);
    for (const url of [ticket, spent]) expect(await open(site, url)).toMatchObject({ status: 401, cookies: [] });
    expect([(await open(site, link, { from: me })).status, await page(fresh, permit)]).toEqual([404, 401]);
    expect(await isGood(fresh)).toBe(true);
  });

  test.each(["stopped", "silent"] as const)(
    "while Redis is %s a link is one client's and a ticket good once, at each node",
    async (how) => {
      const [{ link }, other] = [await request(site), await request(site)];
      const ticket = await ticketOf(site, other.link);
      const [me, crowd] = [freshAddress(), range(CROWD / 4)];
      atEnd(async () => {
        await comeBack();
        await until(() => request(site).catch(() => null), 60_000, "apps to be opened again");
      });
      const comeBack = async () => (how === "stopped" ? site.redis.start() : site.redis.signal("SIGCONT"));
      if (how === "stopped") await site.redis.stop();
      else site.redis.signal("SIGSTOP");
      for (const node of site.nodes) {
        const answers = await Promise.all(crowd.map(() => visit(site, ticket, { node })));
        expect([count(answers, 303), count(answers, 401)]).toEqual([1, crowd.length - 1]);
      }
      const node = site.nodes[0];
      expect((await open(site, link, { from: me, node })).status).toBe(302);
      const others = await Promise.all(crowd.map(() => visit(site, link, { node })));
      expect(count(others, 401)).toBe(crowd.length);
      await comeBack();
      for (const at of site.nodes) expect((await open(site, ticket, { node: at })).status).toBe(401);
      expect((await open(site, link, { node })).status).toBe(401);
    },
  );

  test("whatever is asked for on the way, in whatever form, the answer is private", async () => {
    const { link } = await request(site);
    const ticket = await ticketOf(site, link);
    const wrong = [link, ticket].flatMap((url) => [url.replace(/=.*/, "=x"), url.replace(/\?.*/, "")]);
    const forms = ["", "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: no-cors", "Sec-Purpose: prefetch"]; // prettier-ignore
    const methods = ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "GET"];
    for (const { url, form, method } of combinations({ url: [link, ticket, ...wrong], form: forms, method: methods }))
      await open(site, url, { method, lines: form === "" ? "" : `${form}\r\n` });
    expect(careless()).toEqual([]);
  });

  test("what the coordinator tells on the way is private too", async () => {
    const { token, session } = await request(site);
    const query = `app=jupyter&protocol=http&token=${token}&session_id=${session}`;
    const { manager } = site;
    const [json, page] = [{ Accept: "application/json" }, { Accept: "text/html" }];
    const answers = [
      await manager.call("GET", `/v2/proxy/${token}/${session}/add?${query}`),
      await manager.call("GET", `/v2/proxy/auth?${query}`, undefined, json),
      await manager.call("GET", `/v2/proxy/auth?${query}`, undefined, page),
      await manager.auth(token, session),
      await manager.auth(token, session, {}, page),
      await manager.auth(crypto.randomUUID(), session),
      await manager.auth(token, session, { redirect: "//evil.example" }, page),
    ];
    const told = answers.map(({ status, headers }) => [status, ...PRIVATE.map(([name]) => headers.get(name))]);
    expect(told).toEqual([200, 200, 302, 200, 302, 404, 400].map((status) => [status, "no-store", "no-referrer"]));
  });

  test(`${TARGETS.length} places to be led to, given in every way: none of them leaves the circuit`, async () => {
    const stops = await stopsOf(site);
    for (const [way, follow] of Object.entries(WAYS)) {
      const outcomes = await Promise.all(
        TARGETS.map((target) => follow(target, stops).catch((error: unknown) => `fault: ${String(error)}`)),
      );
      const faults = TARGETS.flatMap((target, at) =>
        outcomes[at]?.startsWith("fault") === true ? [`${JSON.stringify(target)}: ${outcomes[at]}`] : [],
      );
      expect([way, faults]).toEqual([way, []]);
      const count = (wanted: string) => outcomes.filter((one) => one === wanted).length;
      // A ticket's path is the worker's own word, so a wrong one is no reason to refuse it.
      expect([way, count("refused") >= (way === "in a ticket" ? 0 : 50), count("its own") >= 50]).toEqual([
        way,
        true,
        true,
      ]);
    }
  });
});
