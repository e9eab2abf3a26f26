/** Subdomains of circuits at wildcard workers: from a wanted name to one DNS label. */
import { domainToASCII, domainToUnicode } from "node:url";

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
  const suffix = `-${hex()}`;
  if (!label.startsWith("xn--")) return label.slice(0, MAX_STEM) + suffix;
  // A suffix on a punycode label is no longer punycode: it goes to the name itself, cut until it fits.
  let characters = Array.from(domainToUnicode(label));
  while (characters.length > 0) {
    const variant = domainToASCII(characters.join("") + suffix);
    if (variant !== "" && variant.length <= MAX_LABEL) return variant;
    characters = characters.slice(0, -1);
  }
  return `app${suffix}`;
}

// --- internal ---

function trim(label: string): string {
  return label.replace(/^-+|(?<!-)-+$/g, "");
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
