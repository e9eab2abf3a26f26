/** Which names of a `Host` are a service's own, and who has to use one. */
import { describe, expect, test } from "bun:test";
import { hostname } from "node:os";
import { isOwnHost, mustNameUs, ownHosts } from "../../../shared/http/own-hosts.ts";
import { machineNames, namesIn } from "../../../shared/runtime/machine-names.ts";
import { refused } from "../../support/values.ts";

const HOSTS = ownHosts(["0.0.0.0", "Proxy.Example", "앱.example", null, "", "::1"], "the_key");

describe("a name that is ours", () => {
  test.each([
    null, "", "127.0.0.1", "127.0.0.1:10200", "10.9.8.7", "[::1]:10200", "[2001:db8::1]", "localhost", "LOCALHOST:80", "a.localhost:1",
    "proxy.example", "PROXY.example:10200", "proxy.example.", "proxy.example.:1", "xn--rf5b.example",
  ])("%p", (host) => expect(isOwnHost(host, HOSTS)).toBe(true)); // prettier-ignore
});

describe("a name that is not", () => {
  test.each([
    "rebound.example", "rebound.example:10200", "a.proxy.example", "proxy.example.evil.example", "127.0.0.1.evil.example", "localhost.evil.example",
    "evil@localhost", "evil.example@127.0.0.1", "localhost/", "localhost#", "localhost:x", "localhost, evil.example", "notlocalhost", " ",
  ])("%p", (host) => expect(isOwnHost(host, HOSTS)).toBe(false)); // prettier-ignore
});

describe("a foreign name", () => {
  const ask = (peer: string | null, headers: Record<string, string> = {}) =>
    refused(() => mustNameUs({ peer, headers: new Headers({ Host: "rebound.example:1", ...headers }) }, HOSTS));
  const FOREIGN = { kind: "misdirected-request", msg: 'Host: wanted an address, localhost or a name of this service (the_key lists more), got "rebound.example:1"' } as const; // prettier-ignore

  test.each(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", null])("is refused from %p", async (peer) => {
    expect(await ask(peer)).toEqual(FOREIGN);
  });

  test.each(["Origin", "Referer", "Sec-Fetch-Site", "Accept-Language"])(
    "is refused from anywhere with %s",
    async (name) => {
      expect(await ask("10.0.0.1", { [name]: "x" })).toEqual(FOREIGN);
    },
  );

  test("is taken from a program elsewhere, which somebody has let in by its address", () => {
    const headers = new Headers({ Host: "rebound.example:1" });
    expect(mustNameUs({ peer: "10.0.0.1", headers }, HOSTS)).toBeUndefined();
  });
});

test("this machine's names are its own and those of its addresses in /etc/hosts", () => {
  const text =
    "127.0.0.1 localhost\n127.0.1.1\tbox.site.example  box # other\n# 127.0.0.1 no\n\n10.0.0.9 elsewhere\n::1 six";
  expect(namesIn(text, (address) => address !== "10.0.0.9" && address !== "")).toEqual(["localhost", "box.site.example", "box", "six"]); // prettier-ignore
  expect(machineNames()[0]).toBe(hostname());
});
