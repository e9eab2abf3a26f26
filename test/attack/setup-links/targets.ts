/** Where somebody might be led by a `redirect` that is not what it seems: each is refused, or leads to the circuit itself. */

const EVIL = "evil.example";

/** Spellings of another host, with everything that a lenient reader would take for two slashes or a scheme. */
const HOSTS = [
  ["//", "///", "////", "/\\", "\\/", "\\\\", "/\\/", "\\/\\", "//\\", "/\\\\"],
  ["https://", "HTTPS://", "https:", "https:/", "https:///", "https:///////", "https:\\\\", "http:", "hTTp:/\\", "ws://", "ftp://"],
  [" //", "\t//", "\n//", "\r\n//", "\u0000//", "\u001f//", "\u007f//", "\u0085//", "\u00a0//", "\ufeff//", "\u2028//", "\u3000//", "\u202e//"],
  ["/\t/", "/\n/", "/\r/", "/\r\n/", "/\u0000/", "/ /", "/\u00a0/", "/\u200b/", "/\u00ad/"],
  ["%2f%2f", "/%2f", "/%2F%2F", "%5c%5c", "/%5c", "/%09/", "/%0a/", "%09//", "/%00/", "/%252f"],
  ["/..//", "/.//", "/../..//", "/a/..//..//", "/%2e%2e//", "/.%2e//", "..//", ".//", "/./\\", "./\\", "/..\\", "/;//", ";//"],
  ["\uff0f\uff0f", "/\uff0f", "/\uff3c", "\u2044\u2044", "\u2215\u2215", "/\u29f8", "/\u2571", "\u3002", "/\u3002"],
  ["@", "/@", ":80@", "/:80@", "user:password@", "//user@", "//user:password@", "/\\@", ".", "/.", ":", "-", "?//", "#//", "?@", "#@", "/?//", "/#@"],
].flat().map((before) => before + EVIL); // prettier-ignore

const OTHERS = [
  ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "\u0001javascript:alert(1)", "data:text/html,x", "vbscript:x"],
  ["file:///etc/passwd", "view-source:x", "about:blank", "mailto:a@evil.example", "intent://evil.example#Intent;end", "web+app:x"],
  ["//[::1]/", "//0x7f000001", "//127.1", "//2130706433", "///@evil.example", "//evil.example:443\\@a", "//evil.example/%2f..", "//evil.example?@a"],
  ["/\r\nLocation: http://evil.example", "/\nLocation: http://evil.example", "/%0d%0aLocation:%20http://evil.example"],
  ["/\r\nSet-Cookie: a=1", "/\r\n\r\n<script>alert(1)</script>", "/\u560d\u560aLocation: http://evil.example", "/a\u0000b"],
  ['/"><script>alert(1)</script>', "/'><base href=//evil.example>", '/" onclick="x', "/<!--", "/&#x2f;evil.example", "/&sol;evil.example"],
  [`/${"a".repeat(2048)}`, `//${"a".repeat(2045)}`, `/${"\u00e9".repeat(1000)}`, `${"/".repeat(2048)}${EVIL}`, `/${"../".repeat(600)}/${EVIL}`],
  ["\ud800//evil.example", "/\ud800", "/\udfff/evil.example", "null", "undefined", "[object Object]", "/", "", "lab", "/lab?next=//evil.example"],
].flat(); // prettier-ignore

export const TARGETS: readonly string[] = [...HOSTS, ...OTHERS];
