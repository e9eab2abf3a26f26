/** What can be wrong with a link to an app, in the words of programs and with the page for people. */
import { Failure } from "../../shared/failure.ts";

/** `home`: where the person opens apps. */
export function alreadyUsed(home?: string): Failure {
  return new Failure("invalid-credentials", {
    msg: "This link was used already; open the app again",
    page: "link-used",
    home,
  });
}

export function expired(): Failure {
  return new Failure("invalid-credentials", { msg: "This link has expired; open the app again", page: "link-expired" });
}

/** Of a genuine link: its circuit was there. */
export function ended(home?: string): Failure {
  return new Failure("object-not-found", { object: "circuit", home });
}

export function badLink(msg: string): Failure {
  return new Failure("generic-bad-request", { msg, page: "bad-link" });
}
