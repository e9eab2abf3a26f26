/**
 * Every page in every language: what a person, a screen reader and a browser's policies must find in it. The words are
 * looked at by people (`bun run pages`); that none is missing is the compiler's matter.
 */
import { describe, expect, test } from "bun:test";
import { FAILURES, Failure, type FailureKind, type PageKind } from "../../../shared/failure.ts";
import { failureAnswer, pageOf } from "../../../shared/http/page.ts";
import { BEHAVIOURS } from "../../../shared/pages/kinds.ts";
import type { Language } from "../../../shared/pages/language.ts";
import { render, renderLetIn, renderPassing, type View } from "../../../shared/pages/render.ts";
import { timeText, WORDS } from "../../../shared/pages/texts.ts";

const LANGUAGES: Language[] = ["en", "ko"];
const KINDS = Object.keys(BEHAVIOURS) as PageKind[];
const ALL = KINDS.flatMap((kind) => LANGUAGES.map((language): [PageKind, Language] => [kind, language]));
const HOME = "https://web.example.com/";

function view(over: Partial<View> = {}): View {
  return {
    kind: "ended",
    language: "en",
    status: 404,
    problem: "No such circuit.",
    home: HOME,
    framed: false,
    errorId: "e-1",
    ...over,
  };
}

/** What an HTML parser finds: tags with their attributes, and the text that people read. */
async function parse(html: string) {
  const tags: { name: string; attributes: Record<string, string> }[] = [];
  let text = "";
  const reader = new HTMLRewriter()
    .on("*", {
      element: ({ tagName: name, attributes }) => void tags.push({ name, attributes: Object.fromEntries(attributes) }),
    })
    .on("body", { text: (chunk) => void (text += chunk.text) });
  await reader.transform(new Response(html)).text();
  const all = (name: string) => tags.filter((tag) => tag.name === name).map(({ attributes }) => attributes);
  return { tags, text, all };
}

describe.each(ALL)("the page %s in %s", (kind, language) => {
  const words = WORDS[language];
  const { title, what, todo } = words.pages[kind];

  test("has its language, one main landmark and one heading that says what happened, and says what to do", async () => {
    const { all, text } = await parse(render(view({ kind, language })));
    expect(all("html")).toEqual([{ lang: language }]);
    expect([all("main").length, all("h1").length, all("title").length]).toEqual([1, 1, 1]);
    const html = render(view({ kind, language }));
    for (const sentence of [title, what, todo]) expect(html).toContain(sentence.replaceAll("'", "&#x27;"));
    expect(text).toContain("e-1");
    expect(html).toContain(`<h1>${title.replaceAll("'", "&#x27;")}</h1>`);
  });

  test("needs no script, loads nothing, fits a phone, knows light and dark, and is small", async () => {
    const html = render(view({ kind, language, app: "jupyter", seconds: 12 }));
    const { tags, all } = await parse(html);
    expect(tags.map(({ name }) => name).filter((name) => /script|img|iframe|link|object|form|svg/.test(name))).toEqual(
      [],
    );
    expect(tags.flatMap(({ attributes }) => Object.keys(attributes)).filter((name) => name.startsWith("on"))).toEqual(
      [],
    );
    expect(all("meta")).toContainEqual({ name: "viewport", content: "width=device-width,initial-scale=1" });
    expect(html).toContain("color-scheme:light dark");
    expect(html).toContain("prefers-color-scheme:dark");
    expect(html).toContain(":focus-visible");
    expect(Buffer.byteLength(html)).toBeLessThan(2500);
  });

  test("offers what can be done, and without an address says where to go", async () => {
    const { offers } = BEHAVIOURS[kind];
    const links = (await parse(render(view({ kind, language })))).all("a").map(({ href }) => href);
    expect(links).toEqual([...(offers.includes("try") ? [""] : []), ...(offers.includes("open") ? [HOME] : [])]);
    const lost = render(view({ kind, language, home: null }));
    expect([lost.includes(words.goBack), lost.includes(HOME)]).toEqual([offers.includes("open"), false]);
  });

  test("says nothing in words of the inside", () => {
    for (const text of [title, what, todo]) {
      expect(text).not.toMatch(/circuit|worker|permit|kernel|slot|upstream|E\d{5}|서킷|워커|커널/i);
      expect(text.trim()).toBe(text);
      expect(text).not.toMatch(/ {2}|\{/);
    }
    if (language === "ko") expect([title, what, todo].filter((text) => !/[가-힣]/.test(text))).toEqual([]);
  });
});

describe("a failure", () => {
  test.each(Object.keys(FAILURES) as FailureKind[])("%s has a page", (kind) => {
    expect(KINDS).toContain(pageOf(new Failure(kind)));
  });

  test.each(LANGUAGES)("is told in %s, which caches and screen readers hear of", (language) => {
    const { headers, body } = failureAnswer(new Failure("client-ip-not-allowed"), "html", { language });
    expect(headers).toContainEqual(["Content-Language", language]);
    expect(headers).toContainEqual(["Vary", "Accept, Accept-Language"]);
    expect(body).toContain(WORDS[language].pages.address.title);
  });

  test("never shows what programs match on to somebody who mistyped an address", () => {
    const failure = new Failure("object-not-found", { object: "circuit", msg: "E20009: Subdomain x not registered" });
    const { status, body } = failureAnswer(failure, "html");
    expect([status, /E2?\d{4}|registered|Bad request/.test(body)]).toEqual([404, false]);
  });
});

describe("in a frame", () => {
  test("links lead to tabs of their own, which learn nothing of it", async () => {
    const { all } = await parse(render(view({ framed: true })));
    expect(all("a")).toEqual([{ href: HOME, target: "_blank", rel: "noopener noreferrer" }]);
  });

  test("of another site the app itself is offered", async () => {
    const { all } = await parse(render(view({ kind: "framed", framed: true, tab: "/_appproxy/enter?t=1&x=2" })));
    expect(all("a")).toEqual([{ href: "/_appproxy/enter?t=1&amp;x=2", target: "_blank", rel: "noopener noreferrer" }]);
  });
});

describe("a page that loads itself again", () => {
  const reload = { after: 3, frameset: false };

  test("says so, and needs nobody who goes back", () => {
    const html = render(view({ kind: "starting", home: null, seconds: 12, reload }));
    expect(html).toContain('<meta http-equiv="refresh" content="3">');
    expect(html).toContain("It has been starting for 12 seconds.");
    expect(html).toContain("This page loads itself again");
    expect(html).not.toContain(WORDS.en.goBack);
  });

  test("has a button for who does not want to wait", async () => {
    const html = render(view({ kind: "refused", reload }));
    expect((await parse(html)).all("a")).toEqual([{ href: "" }, { href: HOME }]);
  });

  test("is the only frame of a frameset where a refresh would scroll, and looks the same", async () => {
    const wish = view({ kind: "refused", app: "<jupyter>", seconds: 200 });
    const outer = render({ ...wish, reload: { after: 3, frameset: true } });
    const { all } = await parse(outer);
    expect([all("html"), all("frameset").length, all("body").length]).toEqual([[{ lang: "en" }], 1, 0]);
    expect(outer).toContain('<meta http-equiv="refresh" content="3">');
    const [frame] = all("frame");
    expect(frame?.["title"]).toBe("&lt;jupyter&gt; – The app does not answer");
    const inner = Buffer.from(frame?.["src"]?.split("base64,")[1] ?? "", "base64").toString();
    expect(inner).toContain("<h1>The app does not answer</h1>");
    expect(inner).toContain("It has not answered for 3 minutes.");
    expect(inner).not.toMatch(/http-equiv/);
    expect((await parse(inner)).all("a")).toEqual([{ href: HOME, target: "_top" }]);
    expect(Buffer.byteLength(outer)).toBeLessThan(5000);
  });

  test("is allowed that frame and nothing else", () => {
    const policy = (frameset: boolean) =>
      failureAnswer(new Failure("appproxy/container-starting"), "html", {
        reload: { after: 1, frameset },
      }).headers.find(([name]) => name === "Content-Security-Policy")?.[1];
    expect(policy(false)).toBe("default-src 'none'; style-src 'unsafe-inline'");
    expect(policy(true)).toBe("default-src 'none'; style-src 'unsafe-inline'; frame-src data:");
  });
});

test.each(LANGUAGES)(
  "the page on the way in, in %s, looks as the others do and leads on without its script",
  async (language) => {
    const html = renderPassing(language, "/lab?a=1&b=2#x", "go()");
    const { all, text } = await parse(html);
    expect([all("html"), all("main").length, all("a")]).toEqual([
      [{ lang: language }],
      1,
      [{ href: "/lab?a=1&amp;b=2#x" }],
    ]);
    expect([text.includes(WORDS[language].opening), html.includes("color-scheme:light dark")]).toEqual([true, true]);
  },
);

describe.each(LANGUAGES)("the page of an app that is no web page, in %s", (language) => {
  const words = WORDS[language].letIn;
  const allowed = [{ address: "<i>::1", until: "2026-11-28T00:10:59.000Z" }];
  const of = (over: Partial<Parameters<typeof renderLetIn>[0]> = {}) =>
    renderLetIn({ language, gateway: "a<b:1", allowed, look: "http://[::1]:1/?t=a&b", script: "go()", ...over });

  test("says where to connect, from which addresses, and until when, and looks as the others do", async () => {
    const { all, text } = await parse(of());
    expect([all("html"), all("main").length, all("h1").length, all("i").length]).toEqual([
      [{ lang: language }],
      1,
      1,
      0,
    ]);
    expect(all("a")).toEqual([{ href: "http://[::1]:1/?t=a&amp;b" }]);
    for (const part of [words.title, "a&lt;b:1", "&lt;i&gt;::1", "2026-11-28 00:10 UTC", words.letOther])
      expect(text).toContain(part);
    expect([of().includes("color-scheme:light dark"), of().includes(words.everybody)]).toEqual([true, false]);
    expect(Buffer.byteLength(of())).toBeLessThan(3000);
  });

  test("has no script and no link where there is nothing to look for", async () => {
    const { all } = await parse(of({ look: null, script: "" }));
    expect([all("script"), all("a"), all("li").length]).toEqual([[], [], 1]);
  });

  test("says that everybody may connect", async () => {
    const { all, text } = await parse(of({ allowed: null, look: null, script: "" }));
    expect([all("li"), text.includes(words.everybody)]).toEqual([[], true]);
  });

  test("says nothing in words of the inside, and keeps its places for what the script fills in", () => {
    const { item, ...sentences } = words;
    expect(item.match(/\{\w+\}/g)?.toSorted()).toEqual(["{address}", "{time}"]);
    for (const one of Object.values(sentences)) {
      expect(one).not.toMatch(/circuit|worker|permit|kernel|slot|upstream|E\d{5}|서킷|워커|커널/i);
      // It stands in the page as it is.
      expect(one).not.toMatch(/[<>&"'{]/);
      if (language === "ko") expect(one).toMatch(/[가-힣]/);
    }
  });
});

describe("contrast", () => {
  const style = /<style>(.*)<\/style>/.exec(render(view()))?.[1] ?? "";
  const [light = "", dark = ""] = [...style.matchAll(/:root\{([^}]*)\}/g)].map(([, rules]) => rules ?? "");

  /** WCAG 2.2, 1.4.3: text on its background, and what shows where the focus is (1.4.11: 3, which 4.5 covers). */
  test.each([
    ["light", light],
    ["dark", dark],
  ])("of all text and links is AA in the %s scheme", (_scheme, rules) => {
    const colour = (name: string) => new RegExp(`--${name}:(#[0-9a-f]+)`).exec(rules)?.[1] ?? "";
    const pairs = [["t", "c"], ["d", "c"], ["a", "c"], ["o", "a"], ["a", "p"]] as const; // prettier-ignore
    for (const [text, ground] of pairs)
      expect([text, ground, contrast(colour(text), colour(ground)) >= 4.5]).toEqual([text, ground, true]);
  });
});

describe("a time", () => {
  test.each([
    [0.2, "1 second", "1초"],
    [1, "1 second", "1초"],
    [12.4, "12 seconds", "12초"],
    [89, "89 seconds", "89초"],
    [90, "2 minutes", "2분"],
    [600, "10 minutes", "10분"],
    [5400, "2 hours", "2시간"],
    [86_400, "24 hours", "24시간"],
  ])("of %d s reads %p and %p", (seconds, english, korean) => {
    expect([timeText(seconds, "en"), timeText(seconds, "ko")]).toEqual([english, korean]);
  });
});

/** WCAG 2.2, "contrast ratio". */
function contrast(one: string, other: string): number {
  const [a, b] = [luminance(one), luminance(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

function luminance(hex: string): number {
  const digits = hex.length === 4 ? hex.slice(1).replace(/./g, "$&$&") : hex.slice(1);
  const [red = 0, green = 0, blue = 0] = [0, 2, 4].map((at) => {
    const value = Number.parseInt(digits.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
