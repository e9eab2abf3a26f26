/** What of a URL stands in a log, however it is spelt, and which characters do. */
import { describe, expect, test } from "bun:test";
import { workerSecret } from "../../../shared/protocol/worker-secret.ts";
import { escapeControls, escapeUnseen, redactText, redactUrl, safeMessage, safeRecord } from "../../../shared/runtime/redact.ts"; // prettier-ignore

const TOKEN = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";
const SESSION = "5e5e5e5e-0000-4000-8000-000000000001";
const JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpZCI6IjEifQ.c2lnbmF0dXJl";

const escapedOnce = (text: string) =>
  [...text].map((one) => `%${one.charCodeAt(0).toString(16).padStart(2, "0")}`).join("");
const escapedTwice = (text: string) => escapedOnce(text).replaceAll("%", "%25");

describe("of a query only the names are logged", () => {
  test.each([
    ["/setup?token=eyJ.a.b", "/setup?token=…"],
    ["/_appproxy/enter?t=t1.a.b", "/_appproxy/enter?t=…"],
    ["/start?directTCP=true&auth=abc&proto=tcp", "/start?directTCP=…&auth=…&proto=…"],
    ["/a?token=1&x=2;t=3&auth=4#end", "/a?token=…&x=…;t=…&auth=…#…"],
    ["/a?token=1&token=2", "/a?token=…&token=…"],
    ["/a?%74oken=x&Token=x&access_token=x&api_key=x&code=x&sig=x", "/a?%74oken=…&Token=…&access_token=…&api_key=…&code=…&sig=…"], // prettier-ignore
    ["/a?token%3Dx%26sig%3Dy", "/a?token=…%26sig=…"],
    ["/a?redirect=/b?token=x", "/a?redirect=…?token=…"],
    ["/a?redirect=%2Fb%3Ftoken%3Dx", "/a?redirect=…%3Ftoken=…"],
    ["/a?token=", "/a?token=…"],
    ["/a?x[]=1&filter%5Bname%5D=2", "/a?x[]=…&filter%5Bname%5D=…"],
    // A value without a name, and what may be one.
    ["/a?c2VjcmV0", "/a?…"],
    [`/a?${TOKEN}=1`, "/a?…"],
    ["/a?<b>=1", "/a?…"],
    ["/a%3Ftoken=x/b", "/a%3Ftoken=…"],
    ["/a%253ftoken%253dx", "/a%253ftoken=…"],
    ["/a#access_token=x&state=y", "/a#access_token=…&state=…"],
    ["/a%23access_token=x", "/a%23access_token=…"],
    ["/a;jsessionid=x/b;c", "/a;…/b;…"],
    ["/a%3Bjsessionid%3Dx/b", "/a%3B…/b"],
    ["http://h:1/a?token=x%26y", "http://h:1/a?token=…%26…"],
    ["http://me:word@h:1/a", "http://…@h:1/a"],
    ["redis://:word@h:1/0", "redis://…@h:1/0"],
    ["token=x&y=1", "token=…"],
    ["?", "?"],
  ])("%s is logged as %s", (url, logged) => {
    expect([redactUrl(url), redactText(url)]).toEqual([logged, logged]);
    expect(redactUrl(logged)).toBe(logged);
  });

  test("in any text, up to the white space after it", () => {
    const text = `Cannot fetch "http://h/a?token=x": (see /b?code=y). Referer: <http://i/?sig=z>, at c?`;
    expect(redactText(text)).toBe(
      `Cannot fetch "http://h/a?token=…": (see /b?code=…). Referer: <http://i/?sig=…>, at c?`,
    );
  });

  test("of a body that is no JSON, no word", () => {
    const fault = (() => {
      try {
        return JSON.parse("secretword") as unknown;
      } catch (error) {
        return String(error);
      }
    })();
    expect(fault).toContain("secretword");
    expect(redactText(String(fault))).not.toContain("secretword");
  });

  test("of a whole URL also after a space", () => {
    expect(redactUrl("/a?token=x y&z=1 2")).toBe("/a?token=…&z=…");
  });
});

describe("tokens in paths are not logged", () => {
  test.each([
    [`/v2/proxy/${TOKEN}/${SESSION}/add`, "/v2/proxy/…/…/add"],
    [`/v2/proxy/${TOKEN.toUpperCase()}/${SESSION}/delete`, "/v2/proxy/…/…/delete"],
    [`/v2//proxy///${TOKEN}//${SESSION}/add`, `/v2//proxy///…//…/add`],
    [`//v2/./proxy/x/../${TOKEN}/${SESSION}/add`, `//v2/./proxy/…/../…/…/add`],
    [`/V2/Proxy/${TOKEN}/${SESSION}/add`, `/V2/Proxy/…/…/add`],
    [`/v2\\proxy\\${TOKEN}\\${SESSION}`, `/v2\\proxy\\…\\…`],
    [`/v2/%70roxy/${TOKEN.replaceAll("-", "%2D")}/${SESSION}/add`, `/v2/%70roxy/…/…/add`],
    [`/v2%2Fproxy%252f${TOKEN}/${SESSION}/add`, `/v2%2Fproxy%252f…/…/add`],
    [`/v2/proxy/${escapedOnce(TOKEN)}/${SESSION}`, "/v2/proxy/…/…"],
    [`/v2/proxy/${escapedTwice(TOKEN)}/${SESSION}`, "/v2/proxy/…/…"],
    [`/v2/proxy/${SESSION}/${TOKEN}/add`, "/v2/proxy/…/…/add"],
    [`/v2/proxy/auth/${TOKEN}/${SESSION}`, "/v2/proxy/auth/…/…"],
    [`/v2/proxy/${TOKEN}/${SESSION}/add/${TOKEN}`, "/v2/proxy/…/…/add/…"],
    [`/v2/proxy/${TOKEN}/add/${SESSION}`, "/v2/proxy/…/add/…"],
    [`/v2/proxy/{${TOKEN}}/${SESSION}`, "/v2/proxy/…/…"],
    [`/v2/proxy/${TOKEN}/hidden-word/add`, "/v2/proxy/…/…/add"],
    [`/v2/proxy/${TOKEN}/${JWT}/add`, "/v2/proxy/…/…/add"],
    [`/v2/proxy/${TOKEN}/delete?app=x`, "/v2/proxy/…/delete?app=…"],
    [`/v2/proxy/short/add?app=x`, `/v2/proxy/…/…?app=…`],
    [`/v2%2%66proxy%2%66${TOKEN}`, "/…"],
    [`http://h:1/v2/proxy/${TOKEN}/${SESSION}/add`, "http://h:1/v2/proxy/…/…/add"],
    [`/lab/${JWT}/x`, "/lab/…/x"],
    [`/lab/a.${JWT}.b/x`, "/lab/…/x"],
    [`/lab/${JWT.replaceAll(".", "%2E").replaceAll("e", "%65")}/x`, "/lab/…/x"],
    [`/lab/${escapedTwice(JWT)}/x`, "/lab/…/x"],
    [`/lab/${JWT.slice(0, 12)}`, "/lab/…"],
    [`/lab/t1.${JWT.split(".")[0]}.abc`, "/lab/…"],
    [`/lab/v3.${"aB-_".repeat(12)}`, "/lab/…"],
    [`/lab/${workerSecret("the-root-of-workers-0123456789", "gpu-1")}/x`, "/lab/…/x"],
    [`/lab/${workerSecret("the-root-of-workers-0123456789", "w".repeat(255))}`, "/lab/…"],
    [`/lab/%25252525252565/x`, "/lab/…/x"],
  ])("%s is logged as %s", (url, logged) => {
    expect([redactUrl(url), redactText(url)]).toEqual([logged, logged]);
    expect(redactUrl(logged)).toBe(logged);
  });
});

test.each([
  "/",
  "/token/auth/t",
  "/v2/proxy/auth",
  `/api/circuit/${TOKEN}`,
  `/v2/endpoints/${TOKEN}/token`,
  "/proxy/8787/lab",
  "/api/kernels/%EC%95%B1%20a/channels",
  "/@scope/package@1.2.3/x.js",
  "no kernel serves this app; trying again",
  "wanted redis://[:password@]host:port",
  "wanted 1 to 128 characters of [A-Za-z0-9._:-]",
  "the worker worker1.gpu.example.com is lost",
  "E20007: Unsupported authorization method (none: wanted `Bearer TOKEN`)",
  "    at #run (/srv/proxy/shared/runtime/later.ts:49:26)",
  "Is the computer able to access the url?",
])("%s holds nothing to hide", (text) => {
  expect(redactText(text)).toBe(text);
  if (text.startsWith("/")) expect(redactUrl(text)).toBe(text);
});

test("a record is redacted wherever a text stands in it", () => {
  const record = { n: 1, b: true, o: null, url: "/a?t=x", deep: [{ why: ["see /b?t=x"] }], "/c?t=x": "y" };
  const safe = { n: 1, b: true, o: null, url: "/a?t=…", deep: [{ why: ["see /b?t=…"] }], "/c?t=…": "y" };
  expect(safeRecord(record)).toEqual(safe);
});

describe("characters that a terminal or an editor would obey are escaped", () => {
  const NAMED = [0x7f, 0x80, 0x85, 0x9b, 0x9f, 0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2066, 0x2069];
  const hex = (code: number) => `\\u${code.toString(16).padStart(4, "0")}`;

  test.each(NAMED.map((code) => [hex(code), code] as const))("%s", (text, code) => {
    expect(escapeUnseen(`a${String.fromCharCode(code)}b`)).toBe(`a${text}b`);
  });

  test("halves of characters, and no whole ones", () => {
    expect(escapeUnseen("a\ud83d b\ude00 c😀 앱 é")).toBe("a\\ud83d b\\ude00 c😀 앱 é");
  });

  test("C0 controls where no JSON escapes them; a message keeps its lines", () => {
    expect(escapeControls("a\n\t\u001b[2J\u0000\u009b")).toBe("a\\u000a\\u0009\\u001b[2J\\u0000\\u009b");
    expect(safeMessage("a\n\tb\u001b[2J\r\u202e /c?t=x")).toBe("a\n\tb\\u001b[2J\\u000d\\u202e /c?t=…");
  });
});
