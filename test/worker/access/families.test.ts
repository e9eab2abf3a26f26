/** Where the worker's API is over one family alone: what is configured, else where its name leads. */
import { describe, expect, test } from "bun:test";
import { createFamilies, familyOf, type FamilySettings } from "../../../worker/access/families.ts";

const NAMES: Record<string, string[]> = {
  "both.example": ["2001:db8::5", "203.0.113.5"],
  "four.example": ["203.0.113.5"],
  "six.example": ["2001:db8::5"],
  // A machine's own name in /etc/hosts.
  "own.example": ["127.0.1.1", "fe80::5", "::1", "2001:db8::5"],
  "any.example": ["0.0.0.0", "::"],
};
const [V4, V6] = ["198.51.100.9", "2001:db8::9"];

function families(host: string, more: Partial<FamilySettings> = {}) {
  return createFamilies({
    scheme: "http",
    advertised: () => ({ host, port: 10_201 }),
    ipv4: null,
    ipv6: null,
    resolve: async (name) => NAMES[name] ?? Promise.reject(new Error("unknown name")),
    ...more,
  });
}

describe("an API's name", () => {
  test.each<[string, string, { there: string; back: string } | null]>([
    ["both.example", V4, { there: "http://[2001:db8::5]:10201", back: "http://203.0.113.5:10201" }],
    ["both.example", V6, { there: "http://203.0.113.5:10201", back: "http://[2001:db8::5]:10201" }],
    ["both.example", `::ffff:${V4}`, { there: "http://[2001:db8::5]:10201", back: "http://203.0.113.5:10201" }],
    ["both.example", "", null],
    ["four.example", V4, null],
    // The name has led there over IPv6 all the same.
    ["four.example", V6, { there: "http://203.0.113.5:10201", back: "http://four.example:10201" }],
    ["six.example", V6, null],
    ["own.example", V4, { there: "http://[2001:db8::5]:10201", back: "http://own.example:10201" }],
    ["own.example", V6, null],
    ["own.example", "127.0.0.1", { there: "http://[::1]:10201", back: "http://127.0.1.1:10201" }],
    ["any.example", V4, null],
    ["unknown.example", V4, null],
    ["203.0.113.5", V4, null],
    ["2001:db8::5", V6, null],
    // An address of a family that leads nowhere over the other: who has come so has come by another name.
    ["203.0.113.5", V6, null],
  ])("%s, for a client at %s", async (host, address, expected) => {
    expect(await families(host).around(address)).toEqual(expected);
  });

  test("is enough with TLS only where the families' names are configured: a certificate has names", async () => {
    const tls = { scheme: "https" } as const;
    expect(await families("both.example", tls).around(V4)).toBeNull();
    const ipv6 = { host: "v6.example", port: 443 };
    expect(await families("both.example", { ...tls, ipv6 }).around(V4)).toEqual({
      there: "https://v6.example",
      back: "https://both.example:10201",
    });
  });

  test("that the system's resolver does not answer keeps nobody waiting for long", async () => {
    const resolve = () => Promise.withResolvers<string[]>().promise;
    expect(await families("slow.example", { resolve }).around(V4)).toBeNull();
  });
});

test("what is configured counts before the name", async () => {
  const known = { ipv4: { host: "v4.example", port: 80 }, ipv6: { host: "2001:db8::6", port: 8080 } };
  const configured = families("both.example", known);
  expect(await configured.around(V4)).toEqual({ there: "http://[2001:db8::6]:8080", back: "http://v4.example" });
  expect(await configured.at("IPv4", V6)).toBe("http://v4.example");
});

test.each([
  ["203.0.113.5", "IPv4"],
  ["::ffff:203.0.113.5", "IPv4"],
  ["2001:db8::5", "IPv6"],
  ["203.0.113.5+198.51.100.7", null],
  ["", null],
] as const)("%p is of %p", (address, family) => {
  expect(familyOf(address)).toBe(family);
});
