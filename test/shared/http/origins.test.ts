/** Lists of web origins. */
import { expect, test } from "bun:test";
import { readOrigins } from "../../../shared/http/origins.ts";

test.each([
  ["", []],
  [" , ", []],
  ["https://a.example", ["https://a.example"]],
  ["HTTPS://A.example:443/, http://127.0.0.1:10206", ["https://a.example", "http://127.0.0.1:10206"]],
  ["http://[::1]:81,http://[::1]:81", ["http://[::1]:81"]],
])("%p are %p", (list, origins) => {
  expect(readOrigins(list)).toEqual({ origins, bad: [] });
});

test.each(["*", "null", "a.example", "https://a.example/path", "https://a.example/?x", "https://me@a.example", "file:///x", "https://*.a.example/#x", "https://*", "https://*.a.example", "https://a.*.example:8443", "https://a.example;b", "https://a'.example", "javascript:alert(1)"])(
  "%p is no origin",
  (entry) => {
    expect(readOrigins(`https://a.example,${entry}`)).toEqual({ origins: ["https://a.example"], bad: [entry] });
  },
); // prettier-ignore
