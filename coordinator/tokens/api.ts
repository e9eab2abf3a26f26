/** `POST /v2/conf`: the Manager announces a kernel. */
import { Elysia } from "elysia";
import { RequestIdHeader } from "../../shared/protocol/schema/api.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { AccessPlugin } from "../http/access.ts";
import { requestIdentity } from "../http/request-id.ts";
import { answers, models } from "../http/models.ts";
import type { ConfService } from "./service.ts";

export function confRoutes(access: AccessPlugin, conf: ConfService, log: Log) {
  return new Elysia({ name: "conf" })
    .use(access)
    .use(models)
    .post(
      "/v2/conf",
      async ({ body, request }) => ({ token: await conf.configure(body, requestIdentity(request.headers, log)) }),
      {
        access: "manager",
        headers: RequestIdHeader,
        body: "ConfRequest",
        response: answers("ConfAnswer", 400, 401, 413),
        detail: {
          tags: ["Manager"],
          summary: "Announce a kernel",
          description:
            "Gives a token with which a person may open circuits to it for ten minutes. `X-Backend-Request-ID` is kept with the token.",
        },
      },
    );
}
