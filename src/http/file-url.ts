import { CfsError } from "../errors.ts";

/**
 * @param otherwise the message for what is no such URL. It may hold a password, and is not shown.
 * @throws CfsError Invalid
 */
export function parseHttpUrl(text: string, otherwise: string): URL {
  const url = URL.parse(text);
  if (url === null || url.hostname === "" || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new CfsError("Invalid", otherwise);
  url.hash = "";
  return url;
}

/** The URL as it may be shown and stored: without user, password and query. */
export function publicUrl(url: URL): string {
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

/** @param path relative, of segments that are not percent-encoded yet. */
export function urlWithin(base: URL, path: string): URL {
  return new URL(`${base.origin}${base.pathname.replace(/\/+$/, "")}/${encodePath(path)}${base.search}`);
}

function encodePath(path: string): string {
  if (/^[\w./+-]*$/.test(path)) return path;
  return path
    .split("/")
    .map((segment) => encodeURIComponent(segment).replaceAll("%2B", "+"))
    .join("/");
}
