import { CfsError } from "../errors.ts";

const BLOCK = 512;
/** Field of the header, with room for eleven octal digits (POSIX pax, "ustar Interchange Format"). */
const MAX_OCTAL_SIZE = 8 ** 11 - 1;
const MAX_NAME = 100;

export interface TarMember {
  /** ASCII. */
  readonly path: string;
  readonly type: "file" | "directory";
  /** Bytes; 0 for directories. */
  readonly size: number;
}

/**
 * Header of a member of an archive that says nothing of when and by whom it was made: mode 0644 or 0755, owner 0,
 * time 0. Long names and sizes from 8 GiB on are in a pax header.
 */
export function encodeTarHeader({ path, type, size }: TarMember): Uint8Array<ArrayBuffer> {
  const records: string[] = [];
  if (path.length > MAX_NAME) records.push(paxRecord("path", path));
  if (size > MAX_OCTAL_SIZE) records.push(paxRecord("size", String(size)));
  const main = ustar(
    path.slice(0, MAX_NAME),
    type === "file" ? "0" : "5",
    size > MAX_OCTAL_SIZE ? 0 : size,
    type === "file" ? 0o644 : 0o755,
  );
  if (records.length === 0) return main;
  const body = Buffer.from(records.join(""), "latin1");
  return new Uint8Array(
    Buffer.concat([
      ustar("PaxHeaders/member", "x", body.length, 0o644),
      body,
      new Uint8Array(tarPadding(body.length)),
      main,
    ]),
  );
}

/** Zero bytes after a body of that many bytes. */
export function tarPadding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** What every archive ends with: two blocks of zeros. */
export const TAR_END = new Uint8Array(2 * BLOCK);

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  // The number counts itself.
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return `${length}${rest}`;
}

function ustar(name: string, typeFlag: string, size: number, mode: number): Uint8Array<ArrayBuffer> {
  const header = Buffer.alloc(BLOCK);
  const put = (offset: number, text: string) => header.latin1Write(text, offset);
  const octal = (offset: number, length: number, value: number) =>
    put(offset, value.toString(8).padStart(length - 1, "0"));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[^\x01-\x7f]/.test(name)) throw new CfsError("Invalid", `${name} can't be the name of a member`);
  put(0, name);
  octal(100, 8, mode);
  octal(108, 8, 0);
  octal(116, 8, 0);
  octal(124, 12, size);
  octal(136, 12, 0);
  put(148, "        ");
  put(156, typeFlag);
  put(257, "ustar\x0000");
  const sum = header.reduce((total, byte) => total + byte, 0);
  octal(148, 7, sum);
  header[154] = 0;
  return new Uint8Array(header);
}
