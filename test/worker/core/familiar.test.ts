/** What is kept of header lines that come again counts for the same client at the same state of the same circuit alone. */
import { expect, test } from "bun:test";
import { Familiars } from "../../../worker/core/familiar.ts";
import { circuit, entry, head, type HeadWish } from "../../support/values.ts";

const CLIENT = {
  address: "203.0.113.7",
  chain: ["203.0.113.7"],
  proto: "http",
  host: "apps.example:10205",
  isTrusted: false,
};
const LINES = {};

/** How often the client is read in the course of these requests. */
function reads(requests: (HeadWish & { changes?: boolean; other?: boolean })[]): number {
  const familiars = new Familiars();
  const [one, another] = [entry(), entry()];
  let count = 0;
  for (const { changes = false, other = false, ...wish } of requests) {
    if (changes) one.circuit = circuit();
    familiars.of(head({ alike: LINES, ...wish }), other ? another : one, () => {
      count++;
      return CLIENT;
    });
  }
  return count;
}

test("it is found again for the same lines, whatever is asked for", () => {
  expect(reads([{}, { target: "/other" }, { method: "POST" }])).toBe(1);
});

test.each<[string, Parameters<typeof reads>[0][number]]>([
  ["other lines", { alike: {} }],
  ["lines of which nothing is known", { alike: undefined }],
  ["another client", { peer: "203.0.113.8" }],
  ["another host in the target", { authority: "other.example" }],
  ["a connection with TLS", { tls: true }],
  ["another circuit", { other: true }],
  ["another state of the circuit", { changes: true }],
  ["a WebSocket's handshake", { upgrade: true }],
])("it is not found for %s", (_what, wish) => {
  expect(reads([{}, wish])).toBe(2);
});

test("what a handshake has is kept for nobody", () => {
  expect(reads([{ upgrade: true }, { upgrade: true }, {}])).toBe(3);
});
