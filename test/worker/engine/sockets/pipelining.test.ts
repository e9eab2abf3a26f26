/** A client that sends requests and reads no answers: no more are made than the system takes, and none is lost. */
import { expect, test } from "bun:test";
import { socketsEngine } from "../../../../worker/engine/sockets/engine.ts";
import { atEnd } from "../../../support/at-end.ts";
import { named } from "../../../support/beside.ts";
import { ALONE } from "../../../support/listening.ts";
import { until } from "../../../support/until.ts";

const REQUESTS = 4000;
/** The system holds some dozens of MiB for a reader; all answers together are 250. */
const BODY = "x".repeat(64 * 1024);
/** Each answer names its request behind it. */
const MARK = Buffer.from("X-Target: /");

test("gets its answers in order once it reads, and its neighbour all along", async () => {
  const core = named("me");
  let answered = 0;
  const listener = socketsEngine.listen(ALONE, {
    ...core,
    decide: ({ target }) => {
      if (target !== "/other") answered++;
      return { kind: "answer", answer: { status: 200, headers: [["X-Target", target]], body: BODY } };
    },
  });
  atEnd(() => listener.close("now"));
  const other = () => fetch(`http://127.0.0.1:${listener.port}/other`).then((answer) => answer.text());

  let rest = Buffer.alloc(0);
  const seen: number[] = [];
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.port,
    socket: {
      data(_socket, bytes) {
        const all = Buffer.concat([rest, bytes]);
        let kept = Math.max(0, all.length - MARK.length);
        for (let at = all.indexOf(MARK); at !== -1; at = all.indexOf(MARK, at + 1)) {
          const end = all.indexOf("\r\n", at);
          if (end === -1) kept = at;
          else seen.push(Number(all.toString("latin1", at + MARK.length, end)));
        }
        rest = all.subarray(kept);
      },
    },
  });
  atEnd(() => socket.terminate());
  socket.pause();
  const requests = Array.from({ length: REQUESTS }, (_, at) => `GET /${at} HTTP/1.1\r\nHost: me\r\n\r\n`).join("");
  for (let sent = 0; sent < requests.length; sent += Math.max(0, socket.write(requests.slice(sent)))) await other();
  // As long as it is given answers, there are more at each look.
  for (let before = -1; before !== answered;) {
    before = answered;
    for (let turn = 0; turn < 20; turn++) expect((await other()).length).toBe(BODY.length);
  }
  expect(answered).toBeLessThan(REQUESTS / 2);
  socket.resume();
  await until(() => seen.length === REQUESTS, 100_000);
  expect(seen).toEqual(Array.from({ length: REQUESTS }, (_, at) => at));
}, 120_000);
