// Node's own HTTP server, which reads with llhttp, strictly: says of each request what it took for its method and body.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const server = createServer(
  { insecureHTTPParser: false, maxHeaderSize: 70_000, requireHostHeader: true },
  (request, response) => {
    const body = createHash("sha1");
    request.on("data", (bytes) => body.update(bytes));
    request.on("end", () =>
      response.writeHead(200, { "X-Told": `${request.method} ${body.digest("hex")}`, "Content-Length": 0 }).end(),
    );
    // Its client has left: nobody waits for the answer.
    request.on("error", () => undefined);
  },
);
server.httpAllowHalfOpen = true;
server.maxHeadersCount = 0;
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
// Ends with the process that has started it.
process.stdin.on("end", () => process.exit(0)).resume();
