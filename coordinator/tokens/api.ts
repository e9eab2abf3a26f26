/** `POST /v2/conf`: the Manager announces a kernel. */
import { operations } from "../../shared/protocol/operations.ts";
import { route, type Route } from "../http/routes.ts";
import type { ConfService } from "./service.ts";

export function confRoutes(conf: ConfService): Route[] {
  return [
    route(
      operations.configure,
      {
        access: "manager",
        summary: "Announce a kernel",
        description:
          "Gives a token with which a person may open circuits to it for ten minutes. `X-Backend-Request-ID` is kept with the token. Without a secret only programs may call, with `application/json` and from where `manager_cidrs` says.",
        failures: [400, 401, 421],
        keepsRequestId: true,
      },
      async ({ body, by }) => ({ token: await conf.configure(body, by) }),
    ),
  ];
}
