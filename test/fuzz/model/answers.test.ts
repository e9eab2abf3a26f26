/** The model of answers against cases written by hand from RFC 9112, a line each. */
import { expect, test } from "bun:test";
import { readAnswer, readAnswers } from "./answers.ts";

/** What was read of one answer, and what follows it. */
function told(input: string, method = "GET", hasEnded = false): string {
  const read = readAnswer(input, 0, method, hasEnded);
  if (read.kind === "partial") return "partial";
  if (read.kind === "refused") return read.begun === null ? "refused" : `refused within "${read.begun.body}"`;
  const { interims, status, framing, body, isWhole, goesOn, end } = read.answer;
  const before = interims.map((one) => `${one.status}, `).join("");
  const rest = input.slice(end);
  return `${before}${status} ${framing.kind} "${body}"${isWhole ? "" : " partial"}${goesOn ? "" : " closes"}${rest === "" ? "" : ` then ${rest}`}`;
}

const answer = (fields: string, body: string, status = "200 OK") => `HTTP/1.1 ${status}\r\n${fields}\r\n${body}`;

test.each([
  [answer("Content-Length: 2\r\n", "ok"), '200 length "ok"'],
  [answer("Content-Length: 2\r\n", "okHTTP"), '200 length "ok" then HTTP'],
  [answer("Content-Length: 3\r\n", "ok"), '200 length "ok" partial'],
  [answer("Content-Length : 2\r\n", "ok"), '200 length "ok"'],
  [answer("Content-Length: 2\r\nContent-Length: 2\r\n", "ok"), "refused"],
  [answer("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"), '200 chunked "ok"'],
  [answer("Transfer-Encoding: chunked\r\nContent-Length: 9\r\n", "2\r\nok\r\n0\r\n\r\n"), '200 chunked "ok"'],
  [answer("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0"), '200 chunked "ok" partial'],
  [answer("Transfer-Encoding: chunked\r\n", "2\r\nokay\r\n"), 'refused within "ok"'],
  [answer("Transfer-Encoding: gzip\r\n", ""), "refused"],
  [answer("", "ok"), '200 close "ok" partial closes'],
  [answer("Connection: close\r\nContent-Length: 0\r\n", ""), '200 length "" closes'],
  [answer("", "", "204 No Content"), '204 none ""'],
  [answer("Content-Length: 9\r\n", "", "304 Not Modified"), '304 none ""'],
  [answer("", "", "205"), '205 none ""'],
  [answer("", answer("Content-Length: 0\r\n", ""), "103 Early Hints"), '103, 200 length ""'],
  [answer("Upgrade: x\r\n", "", "101 Switching Protocols"), "refused"],
  ["HTTP/1.1 200 OK\r\nX", "partial"],
  ["HTTP/2.0 200 OK\r\n\r\n", "refused"],
  ["HTTP/1.1  200 OK\r\n\r\n", "refused"],
  ["HTTP/1.1 20 OK\r\n\r\n", "refused"],
  ["HTTP/1.1 200 \x00\r\n\r\n", "refused"],
  ["HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "refused"],
  ["HTTP/1.1 200 OK\nX: a\r\n\r\n", "refused"],
])("%j is %s", (input, expected) => expect(told(input)).toBe(expected));

test("HEAD's answer has no body whatever its length says", () => {
  expect(told(answer("Content-Length: 2\r\n", "ok"), "HEAD")).toBe('200 none "" then ok');
});

test("a body without a length is whole when the connection has ended", () => {
  expect(told(answer("", "ok"), "GET", true)).toBe('200 close "ok" closes');
});

test("answers are read one after the other", () => {
  const one = answer("Content-Length: 2\r\n", "ok");
  const { answers, rest } = readAnswers(one + answer("Content-Length: 2\r\n", "") + one + "HTTP", ["GET", "HEAD"], false);
  expect([answers.map(({ body }) => body), rest]).toEqual([["ok", "", "ok"], "HTTP"]);
}); // prettier-ignore
