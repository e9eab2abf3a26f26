/**
 * A program on a machine whose names are its own (named-api.test.ts): opens a link at the API's name, follows the second look, and
 * prints what it was told and where it was let in.
 */
import { mintSetupToken } from "../../../../shared/protocol/jwt.ts";
import { startStage } from "../../../contract/stage.ts";
import { greeter, isLetIn } from "../../../contract/tcp-admission.ts";
import { stopUpstreams } from "../../../contract/upstreams.ts";
import { JWT_SECRET } from "../../../support/manager.ts";
import { freePort } from "../../../support/ports.ts";

const NAME = process.argv[2] ?? "";
const port = await freePort();
const stage = await startStage(
  { engine: "serve", frontend: "port", place: "in process" },
  {
    worker: {
      protocol: "tcp",
      api_bind_addr: `[::]:${port}`,
      api_advertised_addr: `${NAME}:${port}`,
      port_proxy: { bind_host: "::" },
    },
  },
);
const to = await stage.open({ upstream: greeter().port, protocol: "tcp" });
const claims = { id: crypto.randomUUID(), circuit: to.circuit.id, redirect: "" };
const token = await mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now());

interface Told {
  allowed: { address: string }[];
  second_look?: string;
}

const told = async (url: string) => (await (await fetch(url)).json()) as Told;
const addressesIn = ({ allowed }: Told) => allowed.map(({ address }) => address);

const first = await told(`http://${NAME}:${port}/setup?token=${token}`);
const before = [await isLetIn(to.port, "127.0.0.1"), await isLetIn(to.port, "::1")];
const second = first.second_look === undefined ? null : await told(first.second_look);
const after = [await isLetIn(to.port, "127.0.0.1"), await isLetIn(to.port, "::1")];
process.stdout.write(
  `${JSON.stringify({
    first: addressesIn(first),
    before: before.filter(Boolean).length,
    second: second === null ? null : addressesIn(second).toSorted(),
    after: after.filter(Boolean).length,
  })}\n`,
);
stopUpstreams();
await stage.stop();
