/** What the Bun engine tells the core of a request. */
import { expect, test } from "bun:test";
import { ALONE } from "../../../support/listening.ts";
import { bunEngine } from "../../../../worker/engine/bun/engine.ts";
import type { RequestHead } from "../../../../worker/seam/engine.ts";
import { atEnd } from "../../../support/at-end.ts";
import { named } from "../../../support/beside.ts";
import { rawRequest } from "../../../support/raw.ts";

test.each([
  ["HTTP/1.1", "Host: me.example:8080\r\n", "me.example:8080"],
  ["HTTP/1.0", "", ""],
])(
  "%s with %j: the authority is of its Host, and which version it was is not told",
  async (version, lines, authority) => {
    const heads: Pick<RequestHead, "method" | "target" | "version" | "authority">[] = [];
    const core = named("me");
    const listener = bunEngine.listen(ALONE, {
      ...core,
      decide(head) {
        const { method, target } = head;
        heads.push({ method, target, version: head.version, authority: head.authority });
        return core.decide(head);
      },
    });
    atEnd(() => listener.close("now"));
    await rawRequest(listener.port, `GET /a?b ${version}\r\n${lines}Connection: close\r\n\r\n`);
    expect(heads).toEqual([{ method: "GET", target: "/a?b", version: null, authority }]);
  },
);
