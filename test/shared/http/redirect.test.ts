/** Where a person may be sent after being let in. */
import { describe, expect, test } from "bun:test";
import { redirectPath } from "../../../shared/http/redirect.ts";

describe("a path of the circuit", () => {
  test.each([
    "/",
    "/lab",
    "/lab/tree/a%20b?x=1&y=//2#top",
    "/a//b",
    "/?next=https://other.example/",
    "/@other.example",
    "/.//other.example",
    `/${"a".repeat(2047)}`,
  ])("passes as it is: %s", (path) => {
    expect(redirectPath(path)).toBe(path);
  });

  // As the original's worker (26.9.6) has it: "/" + redirect.
  test.each([
    ["lab", "/lab"],
    ["lab/tree/a%20b?x=1&y=a:b#top", "/lab/tree/a%20b?x=1&y=a:b#top"],
    ["?next=https://other.example/", "/?next=https://other.example/"],
    ["#top", "/#top"],
    ["a/b:c", "/a/b:c"],
    ["../lab", "/../lab"],
    ["한글", "/%ED%95%9C%EA%B8%80"],
  ])("without its slash at the start is taken from the root: %s", (wanted, path) => {
    expect(redirectPath(wanted)).toBe(path);
  });

  test("is / when none is wanted", () => {
    expect(redirectPath("")).toBe("/");
  });

  test.each(["/한글?q=값", "/é"])("beyond ASCII can stand in a Location header: %s", (path) => {
    expect(() => new Headers([["Location", redirectPath(path) ?? "/"]])).not.toThrow();
  });
});

describe("what could lead elsewhere is refused", () => {
  test.each([
    ["another origin", "https://other.example/"],
    ["a scheme", "javascript:alert(1)"],
    ["another host", "//other.example"],
    ["three slashes", "///other.example"],
    ["a scheme in capitals", "HTTPS:other.example"],
    ["a scheme of its own", "web+app.1-2:x"],
    ["a relative path with a backslash", "lab\\other.example"],
    ["a relative path with a control character", "lab\n/x"],
    ["a blank at the start", " /lab"],
    ["a tab before slashes", "\t//other.example"],
    ["more than 2 KiB with its slash", "a".repeat(2048)],
    ["a backslash as second slash", "/\\other.example"],
    ["a backslash anywhere", "/a\\b"],
    ["a tab between slashes", "/\t/other.example"],
    ["a line break between slashes", "/\n/other.example"],
    ["a header of its own", "/a\r\nSet-Cookie: x=1"],
    ["a zero byte", "/a\u0000"],
    ["the last control character", "/a\u001f"],
    ["DEL", "/a\u007f"],
    ["more than 2 KiB", `/${"a".repeat(2048)}`],
  ])("%s", (_why, wanted) => {
    expect(redirectPath(wanted)).toBeNull();
  });
});
