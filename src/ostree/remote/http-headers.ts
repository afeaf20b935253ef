import { CfsError } from "../../errors.ts";

/** What the transfer itself depends on. */
const OURS = new Set([
  "Accept-Encoding",
  "Connection",
  "Content-Length",
  "Host",
  "If-Modified-Since",
  "If-None-Match",
  "Range",
  "Transfer-Encoding",
]);

/**
 * Header fields of requests. @param texts `NAME=VALUE`.
 * @throws CfsError Usage
 */
export function parseHttpHeaders(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map(parseHeader));
}

function parseHeader(text: string): [name: string, value: string] {
  const equals = text.indexOf("=");
  const name = canonicalName(text.slice(0, Math.max(0, equals)));
  const value = text.slice(equals + 1).trim();
  // A value may be a password: it is not shown.
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
    throw new CfsError("Usage", "a header field has no name", {
      hint: "it is given as NAME=VALUE, such as --http-header 'Authorization=Bearer TOKEN'",
    });
  }
  if (OURS.has(name)) throw new CfsError("Usage", `the header field ${name} can't be set`);
  if (!/^[\t\x20-\x7e]*$/.test(value))
    throw new CfsError("Usage", `the value of the header field ${name} has a character that is not allowed`);
  return [name, value];
}

/** Names are the same in upper and lower case. */
function canonicalName(name: string): string {
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}
