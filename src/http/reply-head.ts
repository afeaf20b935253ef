/** Head of a reply (RFC 9112). */
export interface ReplyHead {
  readonly status: number;
  /** Name and value, as they were sent. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** The server leaves the connection open. */
  readonly keepsOpen: boolean;
  readonly body: BodyFraming;
}

/** How it is told where a body ends; -1: with the connection. */
export type BodyFraming = "chunked" | { readonly size: number };

/** A reply that isn't HTTP. */
export function malformed(what: string): Error {
  return Object.assign(new Error(`its reply is malformed: ${what}`), { code: "ERR_HTTP_MALFORMED" });
}

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: .*)?$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/**
 * @param text the lines of the head, one byte a character, without the empty one.
 * @param method of the request.
 * @throws Error `malformed`
 */
export function parseReplyHead(text: string, method: string): ReplyHead {
  const lines = text.split("\r\n");
  const [, minor, code] = STATUS_LINE.exec(lines[0]!) ?? [];
  if (code === undefined) throw malformed("it doesn't begin with a status");
  const status = Number(code);
  const fields: [string, string][] = [];
  let encoding: string | undefined;
  let length: string | undefined;
  let connection = "";
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!;
    const colon = line.indexOf(":");
    const name = line.slice(0, colon < 0 ? 0 : colon);
    if (!TOKEN.test(name)) throw malformed("a header field has no name");
    const value = line.slice(colon + 1).trim();
    fields.push([name, value]);
    switch (name.toLowerCase()) {
      case "transfer-encoding":
        encoding = encoding === undefined ? value : `${encoding}, ${value}`;
        break;
      case "content-length":
        if (length !== undefined && length !== value) throw malformed("it has two lengths");
        length = value;
        break;
      case "connection":
        connection += `,${value.toLowerCase()}`;
    }
  }
  const hasNoBody = method === "HEAD" || status < 200 || status === 204 || status === 304;
  const body = hasNoBody ? { size: 0 } : bodyFraming(encoding, length);
  const options = connection.split(",").map((option) => option.trim());
  const keepsOpen = minor === "1" ? !options.includes("close") : options.includes("keep-alive");
  // Two ways to tell the end, of which others may have believed the other one (RFC 9112, 6.1).
  const isClear = encoding === undefined || length === undefined;
  return { status, fields, keepsOpen: keepsOpen && isClear && status !== 101, body };
}

function bodyFraming(encoding: string | undefined, length: string | undefined): BodyFraming {
  if (encoding !== undefined) {
    if (encoding.toLowerCase() !== "chunked") throw malformed(`the transfer encoding '${encoding}'`);
    return "chunked";
  }
  if (length === undefined) return { size: -1 };
  if (!/^\d{1,15}$/.test(length)) throw malformed("its length is no number");
  return { size: Number(length) };
}
