/** The circuits that are knocked at: one of each kind, on a stage. */
import type { Opened, Stage, Wish } from "../../contract/stage.ts";
import { permitCookieName } from "../../../worker/access/permit-cookie.ts";
import { STRANGER, type Door } from "./door.ts";

/** What lets in: a permit, a token, or nothing has to. */
export type Wanted = "permit" | "token" | "nothing";

export interface Kind {
  name: string;
  wants: Wanted;
  /** From here people may come to it; false where its address list says otherwise. */
  listed: boolean;
  /** Where nobody owns it, nobody has a permit. */
  owned: boolean;
  state: "there" | "ended" | "without a kernel";
  wish: Wish;
}

const HERE = "127.0.0.0/8, ::1";
const ELSEWHERE = "10.0.0.0/8, 203.0.113.9";

export const KINDS: Kind[] = [
  kind("interactive", "permit"),
  kind("interactive, open to everybody", "nothing", { public: true }),
  kind("model service", "token", { appMode: "inference" }),
  kind("model service, open to everybody", "nothing", { appMode: "inference", public: true }),
  kind("interactive, for addresses that hold this one", "permit", { allowedClientIps: HERE }),
  kind("interactive, for other addresses", "permit", { allowedClientIps: ELSEWHERE }, { listed: false }),
  kind("interactive, open to everybody from other addresses", "nothing", { public: true, allowedClientIps: ELSEWHERE }, { listed: false }),
  kind("model service, for other addresses", "token", { appMode: "inference", allowedClientIps: ELSEWHERE }, { listed: false }),
  kind("interactive, with a list that can't be read", "permit", { allowedClientIps: "everybody" }, { listed: false }),
  kind("interactive, of nobody", "permit", { circuit: { user_id: null } }, { owned: false }),
  kind("interactive, with its service worker blocked", "permit", { circuit: { recycled_at: new Date(0).toISOString(), service_workers: "blocked" } }),
  kind("interactive, without a kernel", "permit", {}, { state: "without a kernel" }),
  kind("model service, without a kernel", "token", { appMode: "inference" }, { state: "without a kernel" }),
  kind("interactive, ended", "permit", {}, { state: "ended" }),
  kind("model service, ended", "token", { appMode: "inference" }, { state: "ended" }),
]; // prettier-ignore

/** A circuit with what credentials have to know of it. */
export interface Knocked {
  kind: Kind;
  to: Opened;
  door: Door;
}

/** Opens one of each kind, each but those that end on a slot that another person's had before. */
export async function openAll(stage: Stage, upstream: number, secure: boolean): Promise<Knocked[]> {
  const another = await stage.open({ upstream });
  const knocked: Knocked[] = [];
  for (const kind of KINDS) {
    const wish = kind.state === "without a kernel" ? kind.wish : { ...kind.wish, upstream };
    const former = await stage.open({ upstream, circuit: { user_id: STRANGER } });
    await stage.close(former);
    const { frontend_mode, port, subdomain } = former.circuit;
    const to = await stage.open({ ...wish, circuit: { ...wish.circuit, frontend_mode, port, subdomain } });
    if (kind.state === "ended") await stage.close(to);
    knocked.push({
      kind,
      to,
      door: {
        circuit: to.circuit.id,
        user: to.circuit.user_id ?? "",
        cookie: permitCookieName(to.circuit.id, secure),
        otherCookie: permitCookieName(to.circuit.id, !secure),
        another: another.circuit.id,
        former: former.circuit.id,
      },
    });
  }
  return knocked;
}

// --- internal ---

function kind(
  name: string,
  wants: Wanted,
  wish: Wish = {},
  { listed = true, owned = true, state = "there" }: Partial<Pick<Kind, "listed" | "owned" | "state">> = {},
): Kind {
  return { name, wants, listed, owned, state, wish };
}
