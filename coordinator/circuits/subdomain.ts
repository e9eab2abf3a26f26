/** Subdomains of circuits at wildcard workers: from a wanted name to one DNS label. */
import { domainToASCII } from "node:url";

/** RFC 1035 §2.3.4: a label has at most 63 octets. */
const MAX_LABEL = 63;
/** A taken name is cut to this before `-` and 8 hex digits. */
const MAX_STEM = 54;

/** The DNS label for a wanted name, or null when nothing of it can be used. */
export function toLabel(wanted: string | null): string | null {
  const cleaned = (wanted ?? "")
    .normalize("NFC")
    .toLowerCase()
    // Letters, digits and marks beyond ASCII stay for punycode; all else becomes a hyphen.
    .replace(/[^a-z0-9\p{L}\p{N}\p{M}-]/gu, "-")
    .replace(/-+/g, "-");
  const label = /^[\x00-\x7f]*$/.test(cleaned) ? trim(cleaned.slice(0, MAX_LABEL)) : punycode(cleaned);
  return label === "" ? null : label;
}

/** The name without a wish: unguessable enough not to be met by chance. */
export function generatedLabel(hex: () => string): string {
  return `app-${hex()}`;
}

/** Another name like a taken one. */
export function variantOf(label: string, hex: () => string): string {
  // A cut punycode label is no longer one, so the name starts anew.
  const stem = label.startsWith("xn--") ? (label.length <= MAX_STEM ? label : "app") : label.slice(0, MAX_STEM);
  return `${stem}-${hex()}`;
}

// --- internal ---

function trim(label: string): string {
  return label.replace(/^-+|-+$/g, "");
}

/** One punycode label, shortened by whole characters until it fits. */
function punycode(name: string): string {
  let characters = Array.from(trim(name));
  while (characters.length > 0) {
    const label = domainToASCII(trim(characters.join("")));
    if (!/^[a-z0-9-]*$/.test(label) || label === "") return "";
    if (label.length <= MAX_LABEL) return trim(label);
    characters = characters.slice(0, -1);
  }
  return "";
}
